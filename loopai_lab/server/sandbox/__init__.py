"""What stands between a program and the machine: bubblewrap where it can be had, a guarded process group otherwise."""
