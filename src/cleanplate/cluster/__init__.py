"""Many videos: jobs, what is done already, and workers on this machine or on a Ray cluster."""

from cleanplate.cluster.batch import Plan, plan_batch, run_batch
from cleanplate.cluster.jobs import Job, Problem, match_jobs, name_job, read_jobs
from cleanplate.cluster.journal import Journal
from cleanplate.cluster.outputs import leave_out_results, make_folders
from cleanplate.cluster.processes import LocalWorkers
from cleanplate.cluster.tasks import Removal, Ticket
from cleanplate.cluster.work import Outcome, Progressed, Workers

__all__ = [
    "Job",
    "Journal",
    "LocalWorkers",
    "Outcome",
    "Plan",
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
