"""CT and labels as volumes: resampled, cut into patches, and put back into the file's grid."""
