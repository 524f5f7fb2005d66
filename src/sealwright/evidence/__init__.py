"""The evidence beside the firmware, and its verification: policy, log, time, format and image in one pure function."""
