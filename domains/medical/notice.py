"""What everything that leaves this domain says."""

NOTICE = "Not for diagnosis."
