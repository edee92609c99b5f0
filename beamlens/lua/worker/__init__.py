"""What runs in the sandbox's process. Nothing of Beamlens outside of this folder is imported there."""
