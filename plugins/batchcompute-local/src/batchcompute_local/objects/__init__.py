"""The objects of this machine: plain files below the folder of the objects, and beside them what a file cannot hold."""
