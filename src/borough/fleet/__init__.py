"""Many processes of one system on one machine: a supervisor, a public door, replicas of deployables."""
