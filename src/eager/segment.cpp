#include "eager/segment.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <numeric>

#include "eager/memory.h"

namespace dvm::eager {
namespace {

using Clock = std::chrono::steady_clock;

double microseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

bool overlap(const Region& a, const Region& b) {
  return a.begin() < b.end() && b.begin() < a.end();
}

// Elements of `from`, which is dense in the order that `to` lies in, to their places.
void copy(const Region& from, const Region& to, int axis = 0, std::int64_t source = 0,
          std::int64_t target = 0) {
  const int rank = to.layout.rank;
  if (axis == 0 && order_of(to.layout).size() == static_cast<std::size_t>(rank) &&
      dense({to.layout.sizes, static_cast<std::size_t>(rank)}, bytes(to.type), order_of(to.layout))
                  .elements() *
              bytes(to.type) ==
          to.end() - to.begin()) {
    std::memcpy(to.data, from.data, static_cast<std::size_t>(to.end() - to.begin()));
    return;
  }
  if (axis == rank) {
    std::memcpy(to.data + target, from.data + source, static_cast<std::size_t>(bytes(to.type)));
    return;
  }
  for (std::int64_t i = 0; i < to.layout.sizes[axis]; ++i) {
    copy(from, to, axis + 1, source + i * from.layout.strides[axis],
         target + i * to.layout.strides[axis]);
  }
}

}  // namespace

MemoryOrder order_of(const Layout& layout) {
  MemoryOrder order(layout.rank);
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int a, int b) {
    return layout.sizes[a] != 1 && layout.sizes[b] != 1 && layout.strides[a] > layout.strides[b];
  });
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

const Segment& Segments::find(const Trace& trace, const std::vector<Wanted>& wanted) {
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
  if (known != known_.end()) return *known->second;

  const Clock::time_point start = Clock::now();
  std::vector<int> values;
  for (const Wanted& each : wanted) values.push_back(each.value);
  Spliced spliced = splice(trace, values, orders);
  auto segment = std::make_unique<Segment>();
  segment->executable = std::make_unique<Executable>(std::move(spliced.graph));
  segment->inputs = std::move(spliced.inputs);
  segment->symbols = std::move(spliced.symbols);
  segment->numbers = std::move(spliced.numbers);
  segment->steps = trace.size();
  segment->compile_us = microseconds_since(start);
  return *known_.emplace(key_, std::move(segment)).first->second;
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

  // What the trace read where it now writes is read until the end, so such results go there from elsewhere.
  std::vector<Region> targets;
  std::vector<std::pair<std::size_t, Scratch>> moved;
  for (const Wanted& each : wanted) {
    Region target = each.region;
    const bool read = std::ranges::any_of(segment.inputs, [&](int number) {
      return overlap(trace.externals()[number], each.region);
    });
    if (read) {
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
  const auto plan = segment.executable->plan(inputs, scalars, outputs);
  segment.executable->run(*plan, input_data, scalars, output_data);
  for (const auto& [number, scratch] : moved) copy(targets[number], wanted[number].region);
  return microseconds_since(start);
}

}  // namespace dvm::eager
