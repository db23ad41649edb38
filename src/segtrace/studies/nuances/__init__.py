"""The nuances that the paper names, each as a study of its own."""
