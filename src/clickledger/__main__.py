"""``python -m clickledger`` is the command ``clickledger``."""

from clickledger.cli import main

if __name__ == "__main__":
    main()
