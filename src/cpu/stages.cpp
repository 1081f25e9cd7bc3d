#include "cpu/stages.h"

#include <algorithm>
#include <cmath>

#include "cpu/parallel.h"

namespace dvm::cpu {
namespace {

struct Work {
  std::span<const Job> jobs;
  std::span<const Stage> stages;
};

struct Load {
  double work = 0;
  std::int64_t blocks = 0;
};

Load load(std::span<const Job> jobs) {
  Load load;
  for (const Job& job : jobs) {
    load.work += job.work();
    load.blocks += job.blocks();
  }
  return load;
}

int useful_threads(const Load& load, int most) {
  if (load.work < 2 * kWorkPerThread || load.blocks < 2) return 1;
  return static_cast<int>(std::min(
      {static_cast<double>(most), load.work / kWorkPerThread, static_cast<double>(load.blocks)}));
}

// The part of `blocks` that lies before `share` of their work.
std::int64_t until(double share, std::int64_t blocks) {
  return std::llround(std::clamp(share, 0.0, 1.0) * static_cast<double>(blocks));
}

// Every thread takes an equal part of the work of all jobs, laid end to end.
void run_share(std::span<const Job> jobs, const Load& load, int thread, int count) {
  const double begin = load.work * thread / count, end = load.work * (thread + 1) / count;
  double before = 0;
  for (const Job& job : jobs) {
    const std::int64_t blocks = job.blocks();
    const double work = std::max(job.work(), 1.0);
    const std::int64_t from = thread == 0 ? 0 : until((begin - before) / work, blocks);
    const std::int64_t to = thread == count - 1 ? blocks : until((end - before) / work, blocks);
    if (job.tiled != nullptr) {
      job.tiled->run(job.launch, from, to);
    } else {
      run_blocks(*job.routine, job.launch, from, to);
    }
    before += job.work();
  }
}

void run_stages(const Work& work, int thread, int count) {
  for (std::size_t i = 0; i < work.stages.size(); ++i) {
    if (i > 0 && count > 1) barrier();
    const std::span jobs = work.jobs.subspan(static_cast<std::size_t>(work.stages[i].first),
                                             static_cast<std::size_t>(work.stages[i].count));
    const Load all = load(jobs);
    const int sharing = useful_threads(all, count);
    if (thread < sharing) run_share(jobs, all, thread, sharing);
  }
}

int threads_for(const Work& work, int most) {
  if (most == 1) return 1;
  Load largest;
  for (const Stage& stage : work.stages) {
    const Load all = load(work.jobs.subspan(static_cast<std::size_t>(stage.first),
                                            static_cast<std::size_t>(stage.count)));
    if (all.work > largest.work) largest = all;
  }
  if (useful_threads(largest, 2) == 1) return 1;
  return useful_threads(largest, most > 0 ? std::min(most, threads()) : threads());
}

}  // namespace

int run(std::span<const Job> jobs, std::span<const Stage> stages, int threads) {
  Work work{jobs, stages};
  const int wanted = threads_for(work, threads);
  parallel(
      wanted,
      [](void* context, int thread, int count) {
        run_stages(*static_cast<const Work*>(context), thread, count);
      },
      &work);
  return wanted;
}

}  // namespace dvm::cpu
