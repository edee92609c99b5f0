"""`python -m beamlens`."""

from beamlens.cli import main

if __name__ == "__main__":
    main(prog_name="beamlens")
