module reconciler.sandbox/pause

go 1.24.0
