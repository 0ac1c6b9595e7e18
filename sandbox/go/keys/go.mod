module reconciler.sandbox/keys

go 1.24.0
