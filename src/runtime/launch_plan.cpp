#include "runtime/launch_plan.h"

#include <chrono>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>

#include "cpu/dispatch.h"
#include "isa/encode.h"
#include "runtime/arena.h"
#include "schedule/schedule.h"

namespace dvm {
namespace {

class Stopwatch {
 public:
  /// Microseconds since the last call.
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    const double us = std::chrono::duration<double, std::micro>(now - last_).count();
    last_ = now;
    return us;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

// Copies one tensor to another of the same sizes, for what is neither computed in place nor a view.
Kernel copy_kernel(Type type, int rank) {
  Kernel kernel;
  kernel.name = "copy";
  kernel.axes.assign(rank, -1);
  kernel.terms.push_back({.kind = TermKind::kLoad,
                          .type = compute(type),
                          .mask = (AxisMask{1} << rank) - 1,
                          .index = 0});
  std::vector<int> dims(rank);
  std::iota(dims.begin(), dims.end(), 0);
  kernel.inputs.push_back({-1, type, dims});
  kernel.outputs.push_back({-1, 0, type, dims});
  return kernel;
}

class Planner {
 public:
  Planner(const Flow& flow, std::span<const TensorView> inputs,
          std::span<const std::uint64_t> scalars, std::span<const TensorView> results,
          std::vector<Program>* programs)
      : flow_(flow),
        values_(flow.binding.bind(inputs, scalars)),
        tensors_(flow.tensors.size()),
        programs_(programs) {
    take_inputs(inputs);
    place_outputs(results);
    const std::vector<Step>& steps = flow.fusion.steps;
    for (step_ = 0; step_ < static_cast<int>(steps.size()); ++step_) {
      if (steps[step_].kind == StepKind::kView) {
        view(flow.tensor_of(steps[step_].value));
      } else {
        kernel(steps[step_].index);
      }
    }
    copy_outputs();
    note_checks();
    place_blocks();
    plan_.build_time.bind_us += watch_.lap();
  }

  LaunchPlan take() { return std::move(plan_); }

 private:
  struct Tensor {
    Place place;  // kArena: `index` is the number of the block until place_blocks
    Layout layout;
    bool placed = false;
  };

  const Graph& graph() const { return flow_.graph; }

  std::span<const std::int64_t> sizes_of(Value value) {
    const std::vector<Dim>& shape = graph().node(value).shape;
    if (shape.size() > kMaxRank)
      throw std::invalid_argument("[" + graph().name() + "] more than 16 dimensions");
    for (std::size_t i = 0; i < shape.size(); ++i) sizes_[i] = extent(shape[i]);
    return {sizes_, shape.size()};
  }

  std::int64_t extent(Dim dim) const {
    const std::int64_t value = values_.get(dim);
    if (value < 0) {
      throw std::invalid_argument("[" + graph().name() + "] dimension " + graph().dims().text(dim) +
                                  " would be negative for these inputs");
    }
    return value;
  }

  void take_inputs(std::span<const TensorView> inputs) {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      Tensor& tensor = tensors_[i];
      tensor.place = {Place::kInput, static_cast<std::int32_t>(i), 0};
      tensor.placed = true;
      tensor.layout.rank = inputs[i].rank;
      for (int k = 0; k < inputs[i].rank; ++k) {
        tensor.layout.sizes[k] = inputs[i].sizes[k];
        tensor.layout.strides[k] = inputs[i].strides[k];
      }
    }
  }

  void place_outputs(std::span<const TensorView> results) {
    plan_.outputs.resize(flow_.outputs.size());
    for (std::size_t i = 0; i < flow_.outputs.size(); ++i) {
      OutputPlan& output = plan_.outputs[i];
      const Value value = graph().outputs()[i];
      output.type = graph().node(value).type;
      output.layout = dense(sizes_of(value), bytes(output.type), graph().orders()[i]);
      if (!results.empty()) {
        for (int k = 0; k < output.layout.rank; ++k)
          output.layout.strides[k] = results[i].strides[k];
      }
      output.dense = output.layout.contiguous(bytes(output.type));
      if (flow_.outputs[i].written < 0) continue;
      const std::optional<Layout> layout =
          written_layout(flow_.outputs[i], output.layout, bytes(output.type));
      if (!layout) continue;
      tensors_[flow_.outputs[i].written] = {
          {Place::kOutput, static_cast<std::int32_t>(i), 0}, *layout, true};
    }
  }

  // The layout that gives the view `output.tensor` of the tensor a Kernel writes the layout `wanted`.
  std::optional<Layout> written_layout(const FlowOutput& output, const Layout& wanted,
                                       std::int64_t element_bytes) {
    std::optional<Layout> layout = wanted;
    for (int at = output.tensor; at != output.written; at = flow_.tensors[at].viewed) {
      const Node& node = graph().node(flow_.tensors[at].value);
      if (node.kind == NodeKind::kSlice) return std::nullopt;  // what is written is larger
      const std::span<const std::int64_t> sizes = sizes_of(node.operands[0]);
      if (node.kind == NodeKind::kPermute) {
        Layout before = *layout;
        for (int k = 0; k < layout->rank; ++k) {
          before.sizes[node.axes[k]] = layout->sizes[k];
          before.strides[node.axes[k]] = layout->strides[k];
        }
        layout = before;
      } else {
        std::int64_t count = 1;
        for (const std::int64_t size : sizes) count *= size;
        if (count != layout->elements()) return std::nullopt;  // an expansion repeats elements
        layout = reshape(*layout, sizes, element_bytes);
        if (!layout) return std::nullopt;
      }
    }
    return layout;
  }

  void view(int number) {
    const Node& node = graph().node(flow_.tensors[number].value);
    const Tensor& from = tensors_[flow_.tensors[number].viewed];
    Tensor& to = tensors_[number];
    to.place = from.place;
    if (node.kind == NodeKind::kPermute) {
      to.layout = permute(from.layout, node.axes);
    } else if (node.kind == NodeKind::kExpand) {
      to.layout = expand(from.layout, sizes_of(flow_.tensors[number].value));
    } else if (node.kind == NodeKind::kSlice) {
      slice(node, from.layout, to);
    } else {
      const std::span<const std::int64_t> sizes = sizes_of(flow_.tensors[number].value);
      check_reshape(from.layout, sizes);
      const std::optional<Layout> layout = reshape(from.layout, sizes, bytes(node.type));
      if (layout) {
        to.layout = *layout;
      } else {
        Tensor whole;
        whole.place = arena(from.layout.elements() * bytes(node.type));
        whole.layout = dense({from.layout.sizes, static_cast<std::size_t>(from.layout.rank)},
                             bytes(node.type));
        copy(node.type, from.place, from.layout, whole.place, whole.layout);
        to.place = whole.place;
        to.layout = dense(sizes, bytes(node.type));
      }
    }
    keep(to.place, flow_.tensors[number].last_step);
    to.placed = true;
  }

  void slice(const Node& node, const Layout& from, Tensor& to) const {
    const int axis = node.axes[0];
    const std::int64_t start = extent(node.dim), length = extent(node.shape[axis]);
    const std::int64_t step = node.axes[1], size = from.sizes[axis];
    if (length > 0 && start + (length - 1) * step >= size) {
      throw std::invalid_argument("[" + graph().name() + "] a slice of " + std::to_string(length) +
                                  " elements from " + std::to_string(start) + " on, in steps of " +
                                  std::to_string(step) + ", leaves axis " + std::to_string(axis) +
                                  " of " + std::to_string(size) + " elements");
    }
    to.layout = from;
    to.layout.sizes[axis] = length;
    to.layout.strides[axis] = from.strides[axis] * step;
    if (length > 0) to.place.offset += start * from.strides[axis];
  }

  void check_reshape(const Layout& from, std::span<const std::int64_t> sizes) const {
    std::int64_t count = 1;
    for (const std::int64_t size : sizes) count *= size;
    if (count == from.elements()) return;
    const auto list = [](std::span<const std::int64_t> of) {
      std::string text = "[";
      for (std::size_t i = 0; i < of.size(); ++i) text += (i ? ", " : "") + std::to_string(of[i]);
      return text + "]";
    };
    throw std::invalid_argument("[" + graph().name() + "] cannot reshape " +
                                list({from.sizes, static_cast<std::size_t>(from.rank)}) + " to " +
                                list(sizes));
  }

  Place arena(std::int64_t size) { return {Place::kArena, blocks_.add(size, step_), 0}; }

  void keep(const Place& place, int step) {
    if (place.kind == Place::kArena) blocks_.use(place.index, step);
  }

  void kernel(int number) {
    const Kernel& kernel = flow_.fusion.kernels[number];
    const std::size_t axes = kernel.axes.size();
    shape_.extents.resize(axes);
    std::int64_t positions = 1;
    for (std::size_t k = 0; k < axes; ++k) positions *= shape_.extents[k] = extent(kernel.axes[k]);
    shape_.sizes.clear();
    for (const Term& term : kernel.terms) {
      if (term.kind == TermKind::kSize) shape_.sizes.push_back(values_.get(term.dim));
    }
    shape_.input_strides.resize(kernel.inputs.size());
    for (std::size_t i = 0; i < kernel.inputs.size(); ++i) {
      const KernelInput& input = kernel.inputs[i];
      fill_strides(shape_.input_strides[i], tensors_[flow_.tensor_of(input.value)].layout,
                   input.dim_of_axis);
    }
    pick(kernel, positions);
    bool empty = true;
    shape_.output_strides.resize(kernel.outputs.size());
    for (std::size_t i = 0; i < kernel.outputs.size(); ++i) {
      const KernelOutput& output = kernel.outputs[i];
      const int at = flow_.tensor_of(output.value);
      Tensor& tensor = tensors_[at];
      if (!tensor.placed) {
        tensor.layout = dense(sizes_of(output.value), bytes(output.type));
        tensor.place = arena(tensor.layout.elements() * bytes(output.type));
        keep(tensor.place, flow_.tensors[at].last_step);
        tensor.placed = true;
      }
      empty = empty && tensor.layout.elements() == 0;
      fill_strides(shape_.output_strides[i], tensor.layout, output.dim_of_axis);
    }
    if (empty) return;
    plan_.work += positions * static_cast<std::int64_t>(kernel.terms.size());

    std::vector<Place> inputs, outputs;
    for (const KernelInput& input : kernel.inputs)
      inputs.push_back(tensors_[flow_.tensor_of(input.value)].place);
    for (const KernelOutput& output : kernel.outputs)
      outputs.push_back(tensors_[flow_.tensor_of(output.value)].place);
    std::vector<std::int32_t> scalars;
    for (const Value scalar : kernel.scalars) scalars.push_back(flow_.scalar_of_value[scalar]);
    launch(kernel, number, inputs, outputs, scalars);
  }

  // An axis along which the tensor has one element only is broadcast there.
  void fill_strides(std::vector<std::int64_t>& strides, const Layout& layout,
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

  void copy(Type type, const Place& from, const Layout& source, const Place& to,
            const Layout& target) {
    if (source.elements() == 0) return;
    const Kernel kernel = copy_kernel(type, source.rank);
    shape_.extents.assign(source.sizes, source.sizes + source.rank);
    shape_.sizes.clear();
    shape_.input_strides.resize(1);
    shape_.output_strides.resize(1);
    fill_strides(shape_.input_strides[0], source, kernel.inputs[0].dim_of_axis);
    fill_strides(shape_.output_strides[0], target, kernel.outputs[0].dim_of_axis);
    plan_.work += source.elements();
    keep(from, step_);
    launch(kernel, -1, {&from, 1}, {&to, 1}, {});
  }

  void launch(const Kernel& kernel, int number, std::span<const Place> inputs,
              std::span<const Place> outputs, const std::vector<std::int32_t>& scalars) {
    plan_.build_time.bind_us += watch_.lap();
    Scheduled scheduled = schedule(kernel, shape_);
    plan_.build_time.schedule_us += watch_.lap();
    const Place workspace =
        scheduled.workspace_bytes > 0 ? arena(scheduled.workspace_bytes) : Place{};
    for (Stage& stage : scheduled.stages) {
      Launch& launch = plan_.launches.emplace_back();
      launch.kernel = number;
      launch.scalars = scalars;
      launch.arguments.reserve(stage.sources.size());
      for (const Source& source : stage.sources) {
        Place place = source.kind == Source::kInput    ? inputs[source.index]
                      : source.kind == Source::kOutput ? outputs[source.index]
                                                       : workspace;
        if (source.kind == Source::kWorkspace) place.offset += source.offset;
        launch.arguments.push_back(place);
      }
      plan_.build_time.bind_us += watch_.lap();
      launch.words = encode(stage.program);
      launch.routine.bind(launch.words, *cpu::isa().kernels);
      plan_.build_time.encode_us += watch_.lap();
      if (programs_ != nullptr) programs_->push_back(std::move(stage.program));
    }
  }

  // Where loops take no step nothing is picked, and there may be nothing to pick from.
  void pick(const Kernel& kernel, std::int64_t positions) {
    shape_.picked.clear();
    for (std::size_t i = 0; i < kernel.inputs.size(); ++i) {
      const KernelInput& input = kernel.inputs[i];
      if (input.picked < 0) continue;
      const Layout& layout = tensors_[flow_.tensor_of(input.value)].layout;
      shape_.picked.resize(kernel.inputs.size());
      const std::int64_t size = layout.sizes[input.picked];
      shape_.picked[i] = {size, size == 0 ? 0 : layout.strides[input.picked]};
      if (size == 0 && positions > 0) {
        throw std::invalid_argument("[" + graph().name() +
                                    "] gather: the axis has no elements to pick from");
      }
    }
  }

  void note_checks() {
    for (const Check& check : graph().checks())
      plan_.checks.push_back(tensors_[flow_.tensor_of(check.condition)].place);
  }

  void copy_outputs() {
    for (std::size_t i = 0; i < flow_.outputs.size(); ++i) {
      const Place place{Place::kOutput, static_cast<std::int32_t>(i), 0};
      const Tensor& from = tensors_[flow_.outputs[i].tensor];
      if (from.place.kind == place.kind && from.place.index == place.index) continue;
      copy(plan_.outputs[i].type, from.place, from.layout, place, plan_.outputs[i].layout);
    }
  }

  void place_blocks() {
    plan_.arena_bytes = blocks_.assign();
    for (Launch& launch : plan_.launches) {
      for (Place& place : launch.arguments) settle(place);
    }
    for (Place& place : plan_.checks) settle(place);
  }

  void settle(Place& place) const {
    if (place.kind != Place::kArena) return;
    place.offset += blocks_.offset(place.index);
    place.index = 0;
  }

  Stopwatch watch_;
  const Flow& flow_;
  DimValues values_;
  std::vector<Tensor> tensors_;
  std::vector<Program>* programs_;
  ArenaLayout blocks_;
  KernelShape shape_;
  LaunchPlan plan_;
  int step_ = 0;
  std::int64_t sizes_[kMaxRank];
};

}  // namespace

std::size_t LaunchPlan::bytes() const {
  std::size_t total = sizeof(LaunchPlan) + outputs.capacity() * sizeof(OutputPlan) +
                      launches.capacity() * sizeof(Launch);
  for (const Launch& launch : launches) {
    total += launch.words.capacity() * sizeof(launch.words[0]) + launch.routine.bytes() -
             sizeof(launch.routine) + launch.arguments.capacity() * sizeof(Place) +
             launch.scalars.capacity() * sizeof(launch.scalars[0]);
  }
  return total;
}

LaunchPlan make_launch_plan(const Flow& flow, std::span<const TensorView> inputs,
                            std::span<const std::uint64_t> scalars,
                            std::span<const TensorView> outputs) {
  return Planner(flow, inputs, scalars, outputs, nullptr).take();
}

std::vector<Program> programs(const Flow& flow, std::span<const TensorView> inputs,
                              std::span<const std::uint64_t> scalars) {
  std::vector<Program> all;
  Planner(flow, inputs, scalars, {}, &all);
  return all;
}

}  // namespace dvm
