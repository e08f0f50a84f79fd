"""`python -m ultraedit` is the command `ultraedit`."""

from ultraedit.cli.app import main

if __name__ == "__main__":  # processes that a build starts import this module
    main()
