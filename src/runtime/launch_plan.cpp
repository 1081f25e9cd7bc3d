#include "runtime/launch_plan.h"

#include <algorithm>

#include "runtime/planner.h"

namespace dvm {

Planner::Planner(const Flow& flow, std::span<const TensorView> inputs,
                 std::span<const std::uint64_t> scalars, std::span<const TensorView> results,
                 bool packs, std::span<const int> over, std::vector<Program>* programs)
    : flow_(flow),
      packs_(packs),
      over_(over),
      values_(flow.binding.bind(inputs, scalars)),
      placement_(flow, values_),
      stacking_(static_cast<int>(flow.fusion.steps.size())),
      programs_(programs),
      plan_(flow) {
  placement_.take_inputs(inputs);
  place_outputs(results);
  const std::vector<Step>& steps = flow.fusion.steps;
  for (step_ = 0; step_ < static_cast<int>(steps.size()); ++step_) {
    switch (steps[step_].kind) {
      case StepKind::kKernel:
        kernel(steps[step_].index);
        break;
      case StepKind::kView:
        view(flow.tensor_of(steps[step_].value));
        break;
      case StepKind::kAttention:
        attention(steps[step_].value);
        break;
      case StepKind::kMatmul:
        matmul(steps[step_]);
        break;
      case StepKind::kConvolve:
        convolve(steps[step_]);
        break;
      case StepKind::kPool:
        pool(steps[step_]);
        break;
      case StepKind::kScan:
        scan(steps[step_].value);
        break;
      case StepKind::kConcat:
        concat(flow.tensor_of(steps[step_].value));
        break;
    }
  }
  copy_outputs();
  note_checks();
  settle();
  plan_.build_time.bind_us += watch_.lap();
}

void Planner::place_outputs(std::span<const TensorView> results) {
  plan_.outputs.resize(flow_.outputs.size());
  for (std::size_t i = 0; i < flow_.outputs.size(); ++i) {
    OutputPlan& output = plan_.outputs[i];
    const Value value = graph().outputs()[i];
    output.type = graph().node(value).type;
    Layout& layout = results_.emplace_back(
        dense(placement_.sizes_of(value), bytes(output.type), graph().orders()[i]));
    if (!results.empty()) {
      for (int k = 0; k < layout.rank; ++k) layout.strides[k] = results[i].strides[k];
    }
    output.dense = layout.contiguous(bytes(output.type));
    if (is_over(i)) {
      placement_.give_input(over_[i], i);
    } else {
      placement_.place_output(i, layout);
    }
  }
  keep_layouts();
}

void Planner::keep_layouts() {
  std::size_t count = 0;
  for (const Layout& layout : results_) count += 2 * static_cast<std::size_t>(layout.rank);
  plan_.extents.resize(count);
  std::int64_t* at = plan_.extents.data();
  for (std::size_t i = 0; i < results_.size(); ++i) {
    const Layout& layout = results_[i];
    plan_.outputs[i].layout = {layout.rank, at, at + layout.rank};
    at = std::copy_n(layout.sizes, layout.rank, at);
    at = std::copy_n(layout.strides, layout.rank, at);
  }
}

void Planner::view(int tensor) {
  if (placement_.view(tensor)) return;
  const PlacedTensor from = placement_.at(flow_.tensors[tensor].viewed);
  const Value value = flow_.tensors[tensor].value;
  const Type type = graph().node(value).type;
  PlacedTensor whole = dense_copy(type, from);
  whole.layout = dense(placement_.sizes_of(value), bytes(type));
  placement_.keep(whole.place, flow_.tensors[tensor].last_step);
  placement_.put(tensor, whole);
}

void Planner::concat(int tensor) {
  (void)placement_.make(tensor, step_);
  const FlowTensor& whole = flow_.tensors[tensor];
  for (std::size_t i = 0; i < whole.parts.size(); ++i) {
    if (placement_.is_in_place(tensor, i)) continue;
    copy(graph().node(whole.value).type, placement_.at(whole.parts[i].tensor),
         placement_.part(tensor, i));
  }
}

void Planner::note_checks() {
  for (const Check& check : graph().checks())
    plan_.checks.push_back(placement_.at(flow_.tensor_of(check.condition)).place);
}

void Planner::copy_outputs() {
  for (std::size_t i = 0; i < flow_.outputs.size(); ++i) {
    const PlacedTensor& from = placement_.at(flow_.outputs[i].tensor);
    const Place place = is_over(i) ? Place{Place::kInput, over_[i], 0}
                                   : Place{Place::kOutput, static_cast<std::int32_t>(i), 0};
    const PlacedTensor to{place, results_[i], true};
    if (from.place.kind == place.kind && from.place.index == place.index) continue;
    copy(plan_.outputs[i].type, from, to);
  }
}

void Planner::settle() {
  plan_.arena_bytes = placement_.assign(stacking_.overlaps());
  plan_.stages = stacking_.take_stages();
  for (Place& place : plan_.arguments) placement_.settle(place);
  for (Place& place : plan_.checks) placement_.settle(place);
  plan_.launches.shrink_to_fit();
  plan_.stages.shrink_to_fit();
  plan_.arguments.shrink_to_fit();
  plan_.scalars.shrink_to_fit();
  plan_.packed.shrink_to_fit();
  plan_.checks.shrink_to_fit();
}

LaunchPlan make_launch_plan(const Flow& flow, std::span<const TensorView> inputs,
                            std::span<const std::uint64_t> scalars,
                            std::span<const TensorView> outputs, bool packs,
                            std::span<const int> over) {
  return Planner(flow, inputs, scalars, outputs, packs, over, nullptr).take();
}

std::vector<Program> programs(const Flow& flow, std::span<const TensorView> inputs,
                              std::span<const std::uint64_t> scalars) {
  std::vector<Program> all;
  Planner(flow, inputs, scalars, {}, false, {}, &all);
  return all;
}

}  // namespace dvm
