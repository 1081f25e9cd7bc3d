#include "cpu/parallel.h"

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <mutex>
#include <string>

namespace dvm::cpu {
namespace {

struct OpenMp {
  void (*parallel)(void (*body)(void*), void* data, unsigned threads, unsigned flags) = nullptr;
  int (*max_threads)() = nullptr;
  int (*in_parallel)() = nullptr;
  int (*thread_num)() = nullptr;
  int (*num_threads)() = nullptr;
  void (*barrier)() = nullptr;
  std::string path;

  bool complete() const {
    return parallel != nullptr && max_threads != nullptr && in_parallel != nullptr &&
           thread_num != nullptr && num_threads != nullptr && barrier != nullptr;
  }
};

template <class Function>
void look_up(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
}

// Among several loaded libraries torch's own is the one to share.
int rank(std::string_view path) {
  const std::string_view name = path.substr(path.rfind('/') + 1);
  if (!name.starts_with("libgomp") && !name.starts_with("libiomp5") && !name.starts_with("libomp"))
    return 0;
  return path.find("/torch") != std::string_view::npos ? 2 : 1;
}

int visit(dl_phdr_info* object, std::size_t, void* best) {
  auto& path = *static_cast<std::string*>(best);
  if (object->dlpi_name != nullptr && rank(object->dlpi_name) > rank(path))
    path = object->dlpi_name;
  return 0;
}

// Never freed: threads may still be using the one that a reset replaces.
const OpenMp* find_openmp() {
  std::string path;
  dl_iterate_phdr(visit, &path);
  void* library = nullptr;
  if (!path.empty()) library = dlopen(path.c_str(), RTLD_LAZY | RTLD_NOLOAD);
  if (library == nullptr) {
    path = "libgomp.so.1";
    library = dlopen(path.c_str(), RTLD_LAZY);
  }
  auto* openmp = new OpenMp;
  if (library == nullptr) return openmp;
  look_up(library, "GOMP_parallel", openmp->parallel);
  look_up(library, "omp_get_max_threads", openmp->max_threads);
  look_up(library, "omp_in_parallel", openmp->in_parallel);
  look_up(library, "omp_get_thread_num", openmp->thread_num);
  look_up(library, "omp_get_num_threads", openmp->num_threads);
  look_up(library, "GOMP_barrier", openmp->barrier);
  if (openmp->complete()) openmp->path = path;
  return openmp;
}

// How many libraries have ever been loaded into the process.
unsigned long long libraries_loaded() {
  unsigned long long count = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* object, std::size_t, void* result) {
        *static_cast<unsigned long long*>(result) = object->dlpi_adds;
        return 1;
      },
      &count);
  return count;
}

std::atomic<const OpenMp*> current{nullptr};
std::atomic<unsigned long long> looked_at{0};
std::mutex finding;

void find_again() {
  const std::lock_guard lock(finding);
  const OpenMp* const before = current.load(std::memory_order_acquire);
  const OpenMp* const now = find_openmp();
  looked_at.store(libraries_loaded(), std::memory_order_relaxed);
  if (before != nullptr && before->path == now->path) {
    delete now;
  } else {
    current.store(now, std::memory_order_release);
  }
}

// torch may be imported after the first program has run: as long as it has not been, new libraries are looked at.
const OpenMp& openmp() {
  const OpenMp* found = current.load(std::memory_order_acquire);
  if (found == nullptr ||
      (rank(found->path) < 2 && looked_at.load(std::memory_order_relaxed) != libraries_loaded())) {
    find_again();
    found = current.load(std::memory_order_acquire);
  }
  return *found;
}

// CPUs by cgroup quota (version 2, then 1), rounded up; `most` where there is none.
int quota(int most) {
  std::ifstream v2("/sys/fs/cgroup/cpu.max");
  std::string allowed;
  double period = 0;
  if (v2 >> allowed >> period) {
    if (allowed == "max" || period <= 0) return most;
    return static_cast<int>(std::max(1.0, std::atof(allowed.c_str()) / period + 0.999));
  }
  std::ifstream quota_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  std::ifstream period_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  double granted = 0;
  if (quota_file >> granted && period_file >> period && granted > 0 && period > 0) {
    return static_cast<int>(std::max(1.0, granted / period + 0.999));
  }
  return most;
}

int granted_cpus() {
  static const int cpus = [] {
    cpu_set_t set;
    CPU_ZERO(&set);
    const int affinity = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    return std::max(1, std::min(affinity, quota(affinity)));
  }();
  return cpus;
}

int limit_from_environment() {
  const char* const text = std::getenv("DVM_NUM_THREADS");
  return text == nullptr ? 0 : std::max(0, std::atoi(text));
}

std::atomic<int> limit{-1};  // -1: the environment has not been asked yet

// A forked child has none of its parent's threads, and OpenMP would wait for them for ever.
std::atomic<bool> forked{false};
[[maybe_unused]] const int fork_watch =
    pthread_atfork(nullptr, nullptr, [] { forked.store(true, std::memory_order_relaxed); });

thread_local const OpenMp* region_library = nullptr;  // of the region that the thread is in

struct Region {
  const OpenMp* openmp;
  ParallelBody body;
  void* context;
};

void run_region(void* data) {
  const Region& region = *static_cast<const Region*>(data);
  region_library = region.openmp;
  region.body(region.context, region.openmp->thread_num(), region.openmp->num_threads());
}

}  // namespace

int threads() {
  const OpenMp& library = openmp();
  if (!library.complete() || forked.load(std::memory_order_relaxed)) return 1;
  if (library.in_parallel() != 0) return 1;
  int most = std::min(library.max_threads(), granted_cpus());
  int own = limit.load(std::memory_order_relaxed);
  if (own < 0) limit.store(own = limit_from_environment(), std::memory_order_relaxed);
  if (own > 0) most = std::min(most, own);
  return std::max(1, most);
}

void set_threads(int new_limit) { limit.store(std::max(0, new_limit), std::memory_order_relaxed); }

void parallel_reset() { find_again(); }

const char* parallel_library() { return openmp().path.c_str(); }

void parallel(int wanted, ParallelBody body, void* context) {
  if (wanted <= 1) return body(context, 0, 1);
  const OpenMp& library = openmp();
  if (!library.complete()) return body(context, 0, 1);
  Region region{&library, body, context};
  library.parallel(run_region, &region, static_cast<unsigned>(wanted), 0);
}

void barrier() { region_library->barrier(); }

}  // namespace dvm::cpu
