#include "runtime/executable.h"

#include <algorithm>
#include <cstddef>
#include <mutex>
#include <stdexcept>
#include <string>

#include "cpu/stages.h"
#include "runtime/arena.h"
#include "runtime/profile.h"

namespace dvm {
namespace {

// An array on the stack unless it is unusually long.
template <class T, std::size_t kUsual>
class Buffer {
 public:
  explicit Buffer(std::size_t size) : size_(size) {
    if (size > kUsual) long_.resize(size);
  }
  T* data() { return size_ > kUsual ? long_.data() : usual_; }
  T& operator[](std::size_t i) { return data()[i]; }

 private:
  std::size_t size_;
  T usual_[kUsual];
  std::vector<T> long_;
};

// One launch after the other, each with its time.
void run_profiled(const LaunchPlan& plan, std::span<const cpu::Job> jobs, int threads,
                  Profile& profile) {
  const cpu::Stage alone{0, 1};
  const Flow& flow = *plan.flow;
  const std::size_t before = profile.times().size();
  for (std::size_t n = 0; n < jobs.size(); ++n) {
    const Launch& launch = plan.launches[n];
    const std::int64_t begin = Profile::now();
    const int used = cpu::run(jobs.subspan(n, 1), {&alone, 1}, threads);
    const std::int64_t end = Profile::now();
    std::vector<KernelTime>& times = profile.times();
    if (launch.kernel >= 0 && times.size() > before && times.back().number == launch.kernel) {
      KernelTime& kernel = times.back();  // goes on with what its last launch began
      kernel.end = end;
      ++kernel.launches;
      kernel.threads = std::max(kernel.threads, used);
    } else {
      profile.add({flow.graph.name(), launch_name(flow, launch), launch.kernel, 1, used, begin, end,
                   launch.bytes});
    }
  }
}

}  // namespace

struct Executable::State {
  State(Graph graph, std::size_t cache_bytes, bool speculate)
      : versions(std::move(graph), speculate), cache(cache_bytes) {
    const Flow& flow = versions.base();
    for (const Value input : flow.graph.inputs())
      key_words += 2 * flow.graph.node(input).shape.size();
    key_words += flow.binding.symbol_scalars().size();
  }

  Versions versions;
  PlanCache cache;
  std::size_t key_words = 0;
  mutable std::mutex build_time_mutex;
  BuildTime build_time;
};

Executable::Executable(Graph graph, std::size_t cache_bytes, bool speculate)
    : state_(std::make_unique<State>(std::move(graph), cache_bytes, speculate)) {}

Executable::~Executable() = default;

std::shared_ptr<const LaunchPlan> Executable::plan(std::span<const TensorView> inputs,
                                                   std::span<const std::uint64_t> scalars,
                                                   std::span<const TensorView> outputs, bool packs,
                                                   std::span<const int> over) {
  State& state = *state_;
  const Binding& binding = flow().binding;
  binding.check_types(inputs);
  std::size_t words = state.key_words + 1;
  for (const TensorView& output : outputs) words += output.rank;
  words += over.size();
  Buffer<std::int64_t, 96> key(words);
  std::int64_t* at = key.data();
  *at++ = packs ? 1 : 0;
  for (const TensorView& input : inputs) {
    for (int k = 0; k < input.rank; ++k) {
      *at++ = input.sizes[k];
      *at++ = input.sizes[k] == 1
                  ? 0
                  : input.strides[k];  // of no effect, so not a reason for another plan
    }
  }
  for (const int number : binding.symbol_scalars())
    *at++ = static_cast<std::int64_t>(scalars[number]);
  for (const TensorView& output : outputs) {
    for (int k = 0; k < output.rank; ++k) *at++ = output.strides[k];
  }
  at = std::ranges::copy(over, at).out;

  const PlanKey whole(key.data(), words);
  const std::uint64_t hash = PlanCache::hash(whole);
  if (auto plan = state.cache.find(whole, hash)) return plan;
  LaunchPlan plan = make_launch_plan(state.versions.choose(inputs, scalars), inputs, scalars,
                                     outputs, packs, over);
  {
    const std::lock_guard lock(state.build_time_mutex);
    state.build_time = plan.build_time;
  }
  return state.cache.insert(whole, hash, std::move(plan));
}

void Executable::run(const LaunchPlan& plan, std::span<void* const> inputs,
                     std::span<const std::uint64_t> scalars, std::span<void* const> outputs,
                     std::span<const void* const> packed, int threads) const {
  if (packed.size() != plan.packed.size())
    throw std::logic_error("[run] the plan reads " + std::to_string(plan.packed.size()) +
                           " packed weights, got " + std::to_string(packed.size()));
  const Arena arena(plan.arena_bytes);
  const auto base = [&](const Place& place) -> void* {
    switch (place.kind) {
      case Place::kInput:
        return inputs[place.index];
      case Place::kOutput:
        return outputs[place.index];
      case Place::kArena:
        return arena.data();
      case Place::kPacked:
        return const_cast<void*>(packed[place.index]);  // no launch writes it
    }
    return nullptr;
  };
  const auto address = [&](const Place& place) {
    return static_cast<std::byte*>(base(place)) + place.offset;
  };
  Buffer<cpu::Job, 16> jobs(plan.launches.size());
  Buffer<void*, 64> arguments(plan.arguments.size());
  Buffer<std::uint64_t, 32> values(plan.scalars.size());
  std::ranges::transform(plan.arguments, arguments.data(), address);
  std::ranges::transform(plan.scalars, values.data(), [&](int number) { return scalars[number]; });
  for (std::size_t n = 0; n < plan.launches.size(); ++n) {
    const Launch& launch = plan.launches[n];
    jobs[n] = {&launch.routine,
               launch.tiled.get(),
               {arguments.data() + launch.first_argument, values.data() + launch.first_scalar}};
  }
  const std::span<const cpu::Job> all(jobs.data(), plan.launches.size());
  if (Profile* const profile = Profile::current(); profile != nullptr) [[unlikely]] {
    run_profiled(plan, all, threads, *profile);
  } else {
    cpu::run(all, plan.stages, threads);
  }
  for (std::size_t i = 0; i < plan.checks.size(); ++i) {
    if (*address(plan.checks[i]) == std::byte{0})
      throw std::out_of_range(graph().checks()[i].message);
  }
}

std::vector<Program> Executable::programs(std::span<const TensorView> inputs,
                                          std::span<const std::uint64_t> scalars) const {
  flow().binding.check_types(inputs);
  return dvm::programs(state_->versions.choose(inputs, scalars), inputs, scalars);
}

void Executable::clear_cache() { state_->cache.clear(); }
CacheStatistics Executable::cache_statistics() const { return state_->cache.statistics(); }

BuildTime Executable::last_build_time() const {
  const std::lock_guard lock(state_->build_time_mutex);
  return state_->build_time;
}

Versions& Executable::versions() const { return state_->versions; }

}  // namespace dvm
