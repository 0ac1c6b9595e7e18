module reconciler.sandbox/sample-app

go 1.24.0
