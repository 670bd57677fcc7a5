"""Other people's training loops, recorded: each is one short file, run as a test, and run again it goes on."""
