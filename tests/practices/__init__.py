"""Clean practices of other trainers' loops, each as a recorded run that passes, and two faulty neighbours of it."""
