"""What is published of the data sets that the tables are of: cases, slices, numbers of organs."""
