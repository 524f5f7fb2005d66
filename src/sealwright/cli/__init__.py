"""The command line: parsing and printing, nothing else. ``main`` lists every command."""
