"""The laboratory: training, evaluation, data sets, benchmarks. The product never imports it."""
