"""Do maps depend on the weights of the network?"""
