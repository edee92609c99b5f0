"""What several domains read: frames, stacks, heap, source, descriptors, limits, the GIL, logs and hooks."""
