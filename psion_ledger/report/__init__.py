"""What was found, shown: for people in the terminal, for machines as JSON. Nothing here decides anything."""
