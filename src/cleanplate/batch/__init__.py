"""Many videos: job lists, a ledger of finished jobs, workers here or on a Ray cluster."""

from cleanplate.batch.jobs import Job, Problem, match_jobs, name_job, read_jobs
from cleanplate.batch.ledger import Ledger, leave_out_results, make_folders
from cleanplate.batch.schedule import BatchPlan, plan_batch, run_batch
from cleanplate.batch.tasks import Outcome, Progressed, Removal, Ticket, Workers
from cleanplate.batch.workers import LocalWorkers

__all__ = [
    "BatchPlan",
    "Job",
    "Ledger",
    "LocalWorkers",
    "Outcome",
    "Problem",
    "Progressed",
    "Removal",
    "Ticket",
    "Workers",
    "leave_out_results",
    "make_folders",
    "match_jobs",
    "name_job",
    "plan_batch",
    "read_jobs",
    "run_batch",
]
