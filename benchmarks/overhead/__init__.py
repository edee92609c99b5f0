"""What watching costs the host: each module here is one measure with a `run(rounds)`."""
