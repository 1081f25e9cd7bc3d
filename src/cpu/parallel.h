// The threads of the CPU machine: OpenMP's, through the very library that torch uses when it is loaded, so that both
// share one pool and torch.set_num_threads() holds for both. Nothing is linked: the library is looked up at run time,
// and without one everything runs on the calling thread.
#pragma once

namespace dvm::cpu {

/// How many threads a launch from this thread may use: what OpenMP says for this thread, at most the limit of
/// set_threads() or DVM_NUM_THREADS, and at most the CPUs that affinity and cgroup grant. 1 inside a parallel region.
int threads();

/// Limits threads(); 0 lifts the limit.
void set_threads(int limit);

/// Looks for the OpenMP library again. Happens by itself when libraries have been loaded since and torch's is not in use.
void parallel_reset();

/// The OpenMP library in use, "" for none.
const char* parallel_library();

/// Calls body(context, thread, count) on `count` <= `wanted` threads at once; returns when all are done. OpenMP may
/// give fewer than wanted, so bodies share out work by `count`.
using ParallelBody = void (*)(void* context, int thread, int count);
void parallel(int wanted, ParallelBody body, void* context);

/// Inside of a body that more than one thread runs: waits until all of them are here.
void barrier();

}  // namespace dvm::cpu
