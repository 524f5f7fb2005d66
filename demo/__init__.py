"""The main job on real images: `make demo`. Uses the command line as people do, and other people's verifiers."""
