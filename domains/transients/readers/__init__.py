"""Readers of the field's file formats, one a file; `armillary.domains.transients.read` chooses among them."""
