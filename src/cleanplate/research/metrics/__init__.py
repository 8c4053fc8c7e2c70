"""How good a filled video is: the field's metrics and sound ones, under different names."""
