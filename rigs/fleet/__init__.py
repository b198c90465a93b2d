"""A fleet as rigs run it: started by a launcher, looked at from outside, reached through proxies."""
