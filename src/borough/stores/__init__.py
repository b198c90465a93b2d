"""Where a service keeps its data: one package per database, and the migrations that all share."""
