#include "eager/segment.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "eager/memory.h"

namespace dvm::eager {
namespace {

using Clock = std::chrono::steady_clock;

double microseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

constexpr int kPartly = -2;
constexpr std::size_t kMostSegments = 4096;

// Which of `inputs` lies where `region` does: none (-1), one and no other, or some in another way (kPartly).
int overwritten(const std::vector<TensorView>& inputs, const Region& region) {
  int found = -1;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!overlap(Region(inputs[i]), region)) continue;
    if (found != -1 || !same(region, inputs[i])) return kPartly;
    found = static_cast<int>(i);
  }
  return found;
}

// Elements of one tensor to those of another, by a kernel as any other.
void copy(const Region& from, const Region& to) {
  static std::mutex mutex;
  static auto* const copies = new std::map<std::pair<Type, int>, std::unique_ptr<Executable>>;
  Executable* executable;
  {
    const std::lock_guard lock(mutex);
    std::unique_ptr<Executable>& known = (*copies)[{from.type, from.layout.rank}];
    if (known == nullptr) {
      Graph graph("copy");
      std::vector<Dim> shape;
      for (int axis = 0; axis < from.layout.rank; ++axis)
        shape.push_back(graph.dims().symbol("n" + std::to_string(axis)));
      graph.output(graph.elementwise(Op::copy, {graph.input("x", from.type, std::move(shape))}));
      known = std::make_unique<Executable>(std::move(graph));
    }
    executable = known.get();
  }
  const TensorView input = from.view(), output = to.view();
  const auto plan = executable->plan({&input, 1}, {}, {&output, 1});
  void *const source = from.data, *const target = to.data;
  executable->run(*plan, {&source, 1}, {}, {&target, 1});
}

}  // namespace

MemoryOrder order_of(const Layout& layout) {
  MemoryOrder order;
  for (int axis = 0; axis < layout.rank; ++axis) {
    if (layout.sizes[axis] != 1) order.push_back(axis);
  }
  std::ranges::stable_sort(order, std::greater(), [&](int axis) { return layout.strides[axis]; });
  // An axis of size 1 may stand anywhere, so it stays behind the one that it is indexed after.
  for (int axis = 0; axis < layout.rank; ++axis) {
    if (layout.sizes[axis] != 1) continue;
    const auto before = std::ranges::find(order, axis - 1);
    order.insert(before == order.end() ? order.begin() : before + 1, axis);
  }
  return order;
}

std::size_t Segments::Hash::operator()(const std::vector<std::uint64_t>& key) const {
  std::uint64_t hash = key.size();
  for (const std::uint64_t word : key) hash = (hash ^ word) * 0x9e3779b97f4a7c15u ^ hash >> 29;
  return hash;
}

Segments& Segments::process() {
  static auto* const segments = new Segments;
  return *segments;
}

std::shared_ptr<const Segment> Segments::find(const Trace& trace,
                                              const std::vector<Wanted>& wanted) {
  key_ = trace.structure();
  std::vector<MemoryOrder> orders;
  for (const Wanted& each : wanted) {
    MemoryOrder order = order_of(each.region.layout);
    key_.push_back(static_cast<std::uint64_t>(each.value));
    for (const int axis : order) key_.push_back(static_cast<std::uint64_t>(axis));
    if (std::ranges::is_sorted(order)) order.clear();
    orders.push_back(std::move(order));
  }
  const auto known = known_.find(key_);
  if (known != known_.end()) return known->second;
  // Programs that never repeat themselves would fill the memory.
  if (known_.size() >= kMostSegments) known_.clear();

  const Clock::time_point start = Clock::now();
  std::vector<int> values;
  for (const Wanted& each : wanted) values.push_back(each.value);
  Spliced spliced = splice(trace, values, orders);
  auto segment = std::make_shared<Segment>();
  segment->executable = std::make_unique<Executable>(std::move(spliced.graph));
  segment->inputs = std::move(spliced.inputs);
  segment->symbols = std::move(spliced.symbols);
  segment->numbers = std::move(spliced.numbers);
  segment->steps = trace.size();
  segment->compile_us = microseconds_since(start);
  return known_.emplace(key_, std::move(segment)).first->second;
}

double run(const Segment& segment, const Trace& trace, const std::vector<Wanted>& wanted) {
  const Clock::time_point start = Clock::now();
  std::vector<TensorView> inputs;
  std::vector<void*> input_data;
  for (const int number : segment.inputs) {
    inputs.push_back(trace.externals()[number].view());
    input_data.push_back(inputs.back().data);
  }
  std::vector<std::uint64_t> scalars;
  for (const int number : segment.symbols)
    scalars.push_back(static_cast<std::uint64_t>(trace.sizes()[number]));
  for (const int number : segment.numbers) scalars.push_back(trace.numbers()[number]);

  // A result in the memory of something that is read waits until that is done: the plan sees to it where the two are the
  // same, else it goes there from elsewhere.
  std::vector<Region> targets;
  std::vector<int> over;
  std::vector<std::pair<std::size_t, Scratch>> moved;
  for (const Wanted& each : wanted) {
    Region target = each.region;
    const int read = overwritten(inputs, target);
    over.push_back(std::max(read, -1));
    if (read == kPartly) {
      const MemoryOrder order = order_of(target.layout);
      const std::span<const std::int64_t> sizes(target.layout.sizes, target.layout.rank);
      target.layout = dense(sizes, bytes(target.type), order);
      Scratch scratch(target.layout.elements() * bytes(target.type));
      target.data = scratch.data();
      moved.emplace_back(targets.size(), std::move(scratch));
    }
    targets.push_back(target);
  }
  std::vector<TensorView> outputs;
  std::vector<void*> output_data;
  for (const Region& target : targets) {
    outputs.push_back(target.view());
    output_data.push_back(target.data);
  }
  const auto plan = segment.executable->plan(inputs, scalars, outputs, false, over);
  segment.executable->run(*plan, input_data, scalars, output_data);
  for (const auto& [number, scratch] : moved) copy(targets[number], wanted[number].region);
  return microseconds_since(start);
}

}  // namespace dvm::eager
