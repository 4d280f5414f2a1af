"""All benchmarks, in the order in which they run. A new one is a module with a BENCHMARK, listed here.

Those of the service are at the end: they take longest.
"""

from __future__ import annotations

from . import (
    bench_cluster_instances,
    bench_cluster_simulated,
    bench_containment,
    bench_create_job,
    bench_embedding,
    bench_get_job,
    bench_help,
    bench_lists,
    bench_objects,
    bench_replay,
    bench_service_jobs,
    bench_service_latency,
    bench_service_lists,
    bench_service_programs,
    bench_service_simulated,
    bench_start,
    bench_threads,
)
from .harness import Benchmark

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        bench_get_job.BENCHMARK,
        bench_threads.BENCHMARK,
        bench_lists.LIST_JOBS,
        bench_lists.LIST_TASKS,
        bench_lists.LIST_JOBS_MEMORY,
        bench_lists.LIST_TASKS_MEMORY,
        bench_create_job.FROM_DESCRIPTION,
        bench_create_job.FROM_DICT,
        bench_start.BENCHMARK,
        bench_start.IMPORT,
        bench_replay.BENCHMARK,
        bench_help.BENCHMARK,
        bench_embedding.OBSERVERS,
        bench_embedding.CLIENT,
        bench_objects.PUT,
        bench_objects.GET,
        *(bench_objects.WITH_WEED if bench_objects.WEED else ()),
        bench_containment.IN_A_ROW,
        bench_containment.ALONE,
        bench_service_jobs.INSTANCES,
        bench_service_jobs.FAN,
        bench_service_jobs.GRAPH,
        bench_service_programs.APPEND,
        bench_service_programs.PYTHON,
        bench_service_programs.WARM,
        bench_service_latency.PYTHON,
        bench_service_latency.TRUE,
        bench_service_lists.BENCHMARK,
        bench_service_jobs.MEMORY,
        bench_service_simulated.TRANSITIONS,
        bench_service_simulated.MEMORY,
        bench_service_simulated.GROWTH_1M,
        bench_service_simulated.GROWTH_100K,
        bench_cluster_instances.INSTANCES,
        bench_cluster_instances.CPU,
        bench_cluster_simulated.GROWTH,
        bench_cluster_simulated.MEMORY,
    )
}
