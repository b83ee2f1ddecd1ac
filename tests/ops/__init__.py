"""What an operator deploys and sees, checked: `make test-ops`."""
