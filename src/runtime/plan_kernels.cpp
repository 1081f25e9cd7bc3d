// What a Planner does with Kernels: their shapes are filled in, they are scheduled, and their Programs bound; and copies.
#include <algorithm>
#include <stdexcept>
#include <string>

#include "cpu/dispatch.h"
#include "isa/encode.h"
#include "runtime/copy_kernel.h"
#include "runtime/planner.h"

namespace dvm {

std::int64_t bytes_of(const Layout& layout, Type type) {
  std::int64_t count = bytes(type);
  for (int k = 0; k < layout.rank; ++k) {
    if (layout.strides[k] != 0 || layout.sizes[k] == 0) count *= layout.sizes[k];
  }
  return count;
}

void Planner::kernel(int number) {
  const Kernel& kernel = flow_.fusion.kernels[number];
  const std::int64_t positions = fill_shape(kernel, -1);
  pick(kernel, positions);
  if (writes_nothing(kernel)) return;
  plan_.work += positions * static_cast<std::int64_t>(kernel.terms.size());
  Overwrites overwrites = may_overwrite(flow_, placement_, kernel, shape_, step_);
  Scheduled scheduled = scheduled_over(kernel, overwrites);

  std::vector<Place> inputs, outputs;
  for (const KernelInput& input : kernel.inputs)
    inputs.push_back(placement_.at(flow_.tensor_of(input.value)).place);
  for (const KernelOutput& output : kernel.outputs)
    outputs.push_back(placement_.at(flow_.tensor_of(output.value)).place);
  std::vector<std::int32_t> scalars;
  for (const Value scalar : kernel.scalars) scalars.push_back(flow_.scalar_of_value[scalar]);
  launch(std::move(scheduled), number, inputs, outputs, scalars, traffic(kernel, positions));
}

Scheduled Planner::scheduled_over(const Kernel& kernel, Overwrites& overwrites) {
  shape_.overwrites = overwrites_of(overwrites);
  Scheduled scheduled = timed_schedule(kernel);
  if (shape_.overwrites.empty()) return scheduled;
  if (scheduled.stages.size() != 1) overwrites.assign(overwrites.size(), -1);
  for (const Stage& stage : scheduled.stages) keep_proved(overwrites, kernel, stage.program);
  overwrite(kernel, overwrites);
  return scheduled;
}

void Planner::overwrite(const Kernel& kernel, const Overwrites& overwrites) {
  shape_.overwrites = overwrites_of(overwrites);
  for (std::size_t o = 0; o < overwrites.size(); ++o) {
    if (overwrites[o] < 0) continue;
    const Value input = kernel.inputs[overwrites[o]].value;
    placement_.overwrite(flow_.tensor_of(kernel.outputs[o].value),
                         placement_.at(flow_.tensor_of(input)).place);
  }
}

Scheduled Planner::timed_schedule(const Kernel& kernel) {
  plan_.build_time.bind_us += watch_.lap();
  Scheduled scheduled = schedule(kernel, shape_);
  plan_.build_time.schedule_us += watch_.lap();
  return scheduled;
}

std::int64_t Planner::fill_shape(const Kernel& kernel, int but) {
  const std::size_t axes = kernel.axes.size();
  shape_.extents.resize(axes);
  std::int64_t positions = 1;
  for (std::size_t k = 0; k < axes; ++k)
    positions *= shape_.extents[k] = placement_.extent(kernel.axes[k]);
  shape_.sizes.clear();
  for (const Term& term : kernel.terms) {
    if (term.kind == TermKind::kSize) shape_.sizes.push_back(values_.get(term.dim));
  }
  shape_.picked.clear();
  shape_.input_strides.resize(kernel.inputs.size());
  for (std::size_t i = 0; i < kernel.inputs.size(); ++i) {
    const KernelInput& input = kernel.inputs[i];
    if (static_cast<int>(i) == but) {
      shape_.input_strides[i].assign(axes, 0);
    } else {
      fill_strides(shape_.input_strides[i], placement_.at(flow_.tensor_of(input.value)).layout,
                   input.dim_of_axis);
    }
  }
  shape_.output_strides.resize(kernel.outputs.size());
  for (std::size_t i = 0; i < kernel.outputs.size(); ++i) {
    const KernelOutput& output = kernel.outputs[i];
    const PlacedTensor& tensor = placement_.make(flow_.tensor_of(output.value), step_);
    fill_strides(shape_.output_strides[i], tensor.layout, output.dim_of_axis);
  }
  return positions;
}

bool Planner::writes_nothing(const Kernel& kernel) const {
  return std::ranges::all_of(kernel.outputs, [&](const KernelOutput& output) {
    return placement_.at(flow_.tensor_of(output.value)).layout.elements() == 0;
  });
}

PlacedTensor Planner::scratch_like(Type type, const PlacedTensor& tensor,
                                   std::span<const int> order) {
  const std::span sizes(tensor.layout.sizes, static_cast<std::size_t>(tensor.layout.rank));
  PlacedTensor made;
  made.placed = true;
  made.layout = dense(sizes, bytes(type), order);
  made.place = placement_.scratch(made.layout.elements() * bytes(type), step_);
  return made;
}

PlacedTensor Planner::dense_copy(Type type, const PlacedTensor& from, std::span<const int> order) {
  const PlacedTensor whole = scratch_like(type, from, order);
  copy(type, from, whole);
  return whole;
}

void Planner::begin_arguments(Launch& launch, const std::vector<std::int32_t>& scalars) {
  launch.first_argument = static_cast<std::uint32_t>(plan_.arguments.size());
  launch.first_scalar = static_cast<std::uint32_t>(plan_.scalars.size());
  plan_.scalars.insert(plan_.scalars.end(), scalars.begin(), scalars.end());
}

std::int64_t Planner::traffic(const Kernel& kernel, std::int64_t positions) const {
  std::int64_t moved = 0;
  for (const KernelInput& input : kernel.inputs) {
    const std::int64_t whole =
        bytes_of(placement_.at(flow_.tensor_of(input.value)).layout, input.type);
    moved += input.picked < 0 ? whole : std::min(whole, positions * bytes(input.type));
  }
  for (const KernelOutput& output : kernel.outputs)
    moved += bytes_of(placement_.at(flow_.tensor_of(output.value)).layout, output.type);
  return moved;
}

void Planner::fill_strides(std::vector<std::int64_t>& strides, const Layout& layout,
                           const std::vector<int>& dim_of_axis) const {
  strides.assign(shape_.extents.size(), 0);
  for (std::size_t k = 0; k < strides.size(); ++k) {
    const int dim = dim_of_axis[k];
    if (dim < 0 || layout.sizes[dim] == 1) continue;
    if (layout.sizes[dim] != shape_.extents[k])
      throw std::logic_error("[plan] a tensor does not fit its kernel");
    strides[k] = layout.strides[dim];
  }
}

void Planner::copy(Type type, const PlacedTensor& from, const PlacedTensor& to) {
  if (from.layout.elements() == 0) return;
  const Kernel kernel = copy_kernel(type, from.layout.rank);
  shape_.extents.assign(from.layout.sizes, from.layout.sizes + from.layout.rank);
  shape_.sizes.clear();
  shape_.picked.clear();
  shape_.input_strides.resize(1);
  shape_.output_strides.resize(1);
  fill_strides(shape_.input_strides[0], from.layout, kernel.inputs[0].dim_of_axis);
  fill_strides(shape_.output_strides[0], to.layout, kernel.outputs[0].dim_of_axis);
  shape_.overwrites.clear();
  plan_.work += from.layout.elements();
  placement_.keep(from.place, step_);
  launch(timed_schedule(kernel), -1, {&from.place, 1}, {&to.place, 1}, {},
         bytes_of(from.layout, type) + bytes_of(to.layout, type));
}

void Planner::launch(Scheduled scheduled, int number, std::span<const Place> inputs,
                     std::span<const Place> outputs, const std::vector<std::int32_t>& scalars,
                     std::int64_t moved) {
  const Place workspace = scheduled.workspace_bytes > 0
                              ? placement_.scratch(scheduled.workspace_bytes, step_)
                              : Place{};
  for (Stage& stage : scheduled.stages) {
    Launch& launch = plan_.launches.emplace_back();
    launch.kernel = number;
    if (&stage == scheduled.stages.data()) launch.bytes = moved;
    begin_arguments(launch, scalars);
    reads_.clear();
    writes_.clear();
    for (const Source& source : stage.sources) {
      Place place = source.kind == Source::kInput    ? inputs[source.index]
                    : source.kind == Source::kOutput ? outputs[source.index]
                                                     : workspace;
      if (source.kind == Source::kWorkspace) place.offset += source.offset;
      plan_.arguments.push_back(place);
      if (source.kind != Source::kOutput) reads_.push_back(place);
      if (source.kind != Source::kInput) writes_.push_back(place);
    }
    plan_.build_time.bind_us += watch_.lap();
    launch.routine.bind(encode(stage.program), *cpu::isa().kernels);
    stacking_.add(step_, &stage != scheduled.stages.data(), reads_, writes_, launch.routine.work);
    plan_.build_time.encode_us += watch_.lap();
    if (programs_ != nullptr) programs_->push_back(std::move(stage.program));
  }
}

void Planner::pick(const Kernel& kernel, std::int64_t positions) {
  shape_.picked.clear();
  for (std::size_t i = 0; i < kernel.inputs.size(); ++i) {
    const KernelInput& input = kernel.inputs[i];
    if (input.picked < 0) continue;
    const Layout& layout = placement_.at(flow_.tensor_of(input.value)).layout;
    shape_.picked.resize(kernel.inputs.size());
    const std::int64_t size = layout.sizes[input.picked];
    shape_.picked[i] = {size, size == 0 ? 0 : layout.strides[input.picked]};
    if (size == 0 && positions > 0) {
      throw std::invalid_argument("[" + graph().name() +
                                  "] gather: the axis has no elements to pick from");
    }
  }
}

}  // namespace dvm
