module reconciler.sandbox/load

go 1.24.0
