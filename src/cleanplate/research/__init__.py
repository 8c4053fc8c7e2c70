"""Research code: training, evaluation, data sets, benchmarks. The product never imports it."""
