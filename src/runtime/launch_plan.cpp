#include "runtime/launch_plan.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>

#include "cpu/dispatch.h"
#include "fuse/epilogue.h"
#include "graph/windows.h"
#include "isa/encode.h"
#include "runtime/attention_plan.h"
#include "runtime/convolution_plan.h"
#include "runtime/copy_kernel.h"
#include "runtime/matmul_plan.h"
#include "runtime/overwriting.h"
#include "runtime/stacking.h"
#include "runtime/stopwatch.h"
#include "schedule/schedule.h"

namespace dvm {
namespace {

// Of what lies in memory: an axis that is broadcast is there once.
std::int64_t bytes_of(const Layout& layout, Type type) {
  std::int64_t count = bytes(type);
  for (int k = 0; k < layout.rank; ++k) {
    if (layout.strides[k] != 0 || layout.sizes[k] == 0) count *= layout.sizes[k];
  }
  return count;
}

class Planner {
 public:
  Planner(const Flow& flow, std::span<const TensorView> inputs,
          std::span<const std::uint64_t> scalars, std::span<const TensorView> results,
          std::vector<Program>* programs)
      : flow_(flow),
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

  LaunchPlan take() { return std::move(plan_); }

 private:
  const Graph& graph() const { return flow_.graph; }

  void place_outputs(std::span<const TensorView> results) {
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
      placement_.place_output(i, layout);
    }
    keep_layouts();
  }

  void keep_layouts() {
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

  void view(int tensor) {
    if (placement_.view(tensor)) return;
    const PlacedTensor from = placement_.at(flow_.tensors[tensor].viewed);
    const Value value = flow_.tensors[tensor].value;
    const Type type = graph().node(value).type;
    PlacedTensor whole = dense_copy(type, from);
    whole.layout = dense(placement_.sizes_of(value), bytes(type));
    placement_.keep(whole.place, flow_.tensors[tensor].last_step);
    placement_.put(tensor, whole);
  }

  void concat(int tensor) {
    (void)placement_.make(tensor, step_);
    const FlowTensor& whole = flow_.tensors[tensor];
    for (std::size_t i = 0; i < whole.parts.size(); ++i) {
      if (placement_.is_in_place(tensor, i)) continue;
      copy(graph().node(whole.value).type, placement_.at(whole.parts[i].tensor),
           placement_.part(tensor, i));
    }
  }

  void kernel(int number) {
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

  // What a Kernel whose shapes are filled in becomes, its outputs moved over inputs where that is proved harmless.
  Scheduled scheduled_over(const Kernel& kernel, Overwrites& overwrites) {
    shape_.overwrites = overwrites_of(overwrites);
    Scheduled scheduled = timed_schedule(kernel);
    if (shape_.overwrites.empty()) return scheduled;
    if (scheduled.stages.size() != 1) overwrites.assign(overwrites.size(), -1);
    for (const Stage& stage : scheduled.stages) keep_proved(overwrites, kernel, stage.program);
    overwrite(kernel, overwrites);
    return scheduled;
  }

  void overwrite(const Kernel& kernel, const Overwrites& overwrites) {
    shape_.overwrites = overwrites_of(overwrites);
    for (std::size_t o = 0; o < overwrites.size(); ++o) {
      if (overwrites[o] < 0) continue;
      const Value input = kernel.inputs[overwrites[o]].value;
      placement_.overwrite(flow_.tensor_of(kernel.outputs[o].value),
                           placement_.at(flow_.tensor_of(input)).place);
    }
  }

  Scheduled timed_schedule(const Kernel& kernel) {
    plan_.build_time.bind_us += watch_.lap();
    Scheduled scheduled = schedule(kernel, shape_);
    plan_.build_time.schedule_us += watch_.lap();
    return scheduled;
  }

  // The shapes of a Kernel, whose outputs get their places; those of input `but` are not asked for. Returns the number of
  // positions of its loops.
  std::int64_t fill_shape(const Kernel& kernel, int but) {
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

  bool writes_nothing(const Kernel& kernel) const {
    return std::ranges::all_of(kernel.outputs, [&](const KernelOutput& output) {
      return placement_.at(flow_.tensor_of(output.value)).layout.elements() == 0;
    });
  }

  std::vector<std::int64_t> sizes_of(Value value) {
    const std::span<const std::int64_t> sizes = placement_.sizes_of(value);
    return {sizes.begin(), sizes.end()};
  }

  void matmul(const Step& step) {
    const Node& node = graph().node(step.value);
    const std::vector<std::int64_t> sizes = sizes_of(step.value);
    std::vector<PlacedTensor> operands = operands_of(node);
    const auto plan_of = [&] {
      return MatmulPlan(product_of(graph(), node), bits_of(node), sizes, layouts_of(operands));
    };
    MatmulPlan plan = plan_of();
    for (int which; (which = plan.operand_to_copy()) >= 0; plan = plan_of()) {
      const bool turned = which == 1 && plan.copies_columns();
      operands[which] =
          dense_copy(graph().node(node.operands[which]).type, operands[which], turned);
    }
    tiles(step, plan, operands);
  }

  void convolve(const Step& step) {
    const Node& node = graph().node(step.value);
    const std::vector<std::int64_t> sizes = sizes_of(step.value);
    const Windows moves = windows(node);
    std::vector<PlacedTensor> operands = operands_of(node);
    operands[1].layout = weight_by_groups(operands[1].layout, moves);
    if (!ConvolutionPlan::takes(operands[1].layout))
      operands[1] = dense_copy(node.type, operands[1]);
    ConvolutionPlan plan(moves, sizes, operands[0].layout, operands[1].layout);
    tiles(step, plan, operands);
  }

  void pool(const Step& step) {
    const Node& node = graph().node(step.value);
    const std::vector<std::int64_t> sizes = sizes_of(step.value);
    const PlacedTensor operand = placement_.at(flow_.tensor_of(node.operands[0]));
    ConvolutionPlan plan(node.op, windows(node), sizes, operand.layout);
    tiles(step, plan, {&operand, 1});
  }

  // A MatmulPlan or a ConvolutionPlan, alone or with what finishes its tiles.
  template <class Plan>
  void tiles(const Step& step, Plan& plan, std::span<const PlacedTensor> operands) {
    if (step.index < 0) {
      tiles_alone(step.value, plan, operands);
    } else {
      tiles_with_epilogue(step, plan, operands);
    }
  }

  void attention(Value value) {
    const Node& node = graph().node(value);
    const PlacedTensor& result = placement_.make(flow_.tensor_of(value), step_);
    if (result.layout.elements() == 0) return;
    std::vector<PlacedTensor> operands = operands_of(node);
    std::vector<Type> types;
    for (std::size_t i = 0; i < operands.size(); ++i) {
      types.push_back(graph().node(node.operands[i]).type);
      if (i < 3 && !contiguous_at_end(operands[i].layout, bytes(types[i])))
        operands[i] = dense_copy(types[i], operands[i]);
    }
    PlacedTensor made = result;
    if (!contiguous_at_end(result.layout, bytes(Type::f32))) made = scratch_like(Type::f32, result);
    std::int64_t moved = bytes_of(made.layout, Type::f32);
    const std::vector<Place> reads = places_of(value, operands, moved);
    auto tiled = std::make_unique<cpu::Attention>(
        attention_shape(layouts_of(operands), types, made.layout, node.number, node.axes[0] != 0),
        *cpu::isa().kernels);
    add_tiled(std::move(tiled), -1, reads, {&made.place, 1}, {}, moved);
    if (made.place.kind != result.place.kind || made.place.index != result.place.index)
      copy(Type::f32, made, result);
  }

  // Contiguous as indexed, or with the last two axes exchanged in memory.
  PlacedTensor scratch_like(Type type, const PlacedTensor& tensor, bool turned = false) {
    const std::span sizes(tensor.layout.sizes, static_cast<std::size_t>(tensor.layout.rank));
    std::vector<int> order(sizes.size());
    std::iota(order.begin(), order.end(), 0);
    if (turned) std::swap(order.end()[-1], order.end()[-2]);
    PlacedTensor made;
    made.placed = true;
    made.layout = dense(sizes, bytes(type), order);
    made.place = placement_.scratch(made.layout.elements() * bytes(type), step_);
    return made;
  }

  PlacedTensor dense_copy(Type type, const PlacedTensor& from, bool turned = false) {
    const PlacedTensor whole = scratch_like(type, from, turned);
    copy(type, from, whole);
    return whole;
  }

  std::vector<PlacedTensor> operands_of(const Node& node) {
    std::vector<PlacedTensor> operands;
    for (const Value operand : node.operands)
      operands.push_back(placement_.at(flow_.tensor_of(operand)));
    return operands;
  }

  static std::vector<const Layout*> layouts_of(const std::vector<PlacedTensor>& operands) {
    std::vector<const Layout*> layouts;
    for (const PlacedTensor& operand : operands) layouts.push_back(&operand.layout);
    return layouts;
  }

  // Of a product's operands; their bytes are added to `moved`.
  std::vector<Place> places_of(Value product, std::span<const PlacedTensor> operands,
                               std::int64_t& moved) const {
    std::vector<Place> places;
    for (std::size_t i = 0; i < operands.size(); ++i) {
      places.push_back(operands[i].place);
      moved += bytes_of(operands[i].layout, graph().node(graph().node(product).operands[i]).type);
    }
    return places;
  }

  template <class Plan>
  void tiles_alone(Value value, Plan& plan, std::span<const PlacedTensor> operands) {
    const Type type = graph().node(value).type;
    const PlacedTensor& result = placement_.make(flow_.tensor_of(value), step_);
    if (result.layout.elements() == 0) return;
    const bool in_place = contiguous_at_end(result.layout, bytes(type));
    const PlacedTensor made = in_place ? result : scratch_like(type, result);
    std::int64_t moved = bytes_of(made.layout, type);
    const std::vector<Place> reads = places_of(value, operands, moved);
    add_tiled(plan.write(made.layout), -1, reads, {&made.place, 1}, {}, moved);
    if (!in_place) copy(type, made, result);
  }

  template <class Plan>
  void tiles_with_epilogue(const Step& step, Plan& plan, std::span<const PlacedTensor> operands) {
    const Kernel& kernel = flow_.fusion.kernels[step.index];
    const int input = epilogue_input(kernel, step.value);
    (void)fill_shape(kernel, input);
    if (writes_nothing(kernel)) return;
    std::int64_t moved = 0;
    std::vector<Place> reads = places_of(step.value, operands, moved), writes;
    Overwrites overwrites = may_overwrite(flow_, placement_, kernel, shape_, step_, input, reads);
    shape_.overwrites = overwrites_of(overwrites);
    const int rank = static_cast<int>(graph().node(step.value).shape.size());
    std::vector<Program> made;
    std::unique_ptr<cpu::Tiled> product = plan.finish({kernel, input, shape_, rank}, &made);
    for (const Program& program : made) keep_proved(overwrites, kernel, program);
    overwrite(kernel, overwrites);
    if (programs_ != nullptr) std::ranges::move(made, std::back_inserter(*programs_));
    for (std::size_t i = 0; i < kernel.inputs.size(); ++i) {
      if (static_cast<int>(i) == input) continue;
      const PlacedTensor& tensor = placement_.at(flow_.tensor_of(kernel.inputs[i].value));
      reads.push_back(tensor.place);
      moved += bytes_of(tensor.layout, kernel.inputs[i].type);
    }
    for (const KernelOutput& output : kernel.outputs) {
      const PlacedTensor& tensor = placement_.at(flow_.tensor_of(output.value));
      writes.push_back(tensor.place);
      moved += bytes_of(tensor.layout, output.type);
    }
    std::vector<std::int32_t> scalars;
    for (const Value scalar : kernel.scalars) scalars.push_back(flow_.scalar_of_value[scalar]);
    add_tiled(std::move(product), step.index, reads, writes, scalars, moved);
  }

  void add_tiled(std::unique_ptr<cpu::Tiled> tiled, int number, std::span<const Place> reads,
                 std::span<const Place> writes, const std::vector<std::int32_t>& scalars,
                 std::int64_t moved) {
    Launch& launch = plan_.launches.emplace_back();
    launch.kernel = number;
    launch.bytes = moved;
    begin_arguments(launch, scalars);
    plan_.arguments.insert(plan_.arguments.end(), reads.begin(), reads.end());
    plan_.arguments.insert(plan_.arguments.end(), writes.begin(), writes.end());
    plan_.work += static_cast<std::int64_t>(tiled->work());
    stacking_.add(step_, false, reads, writes, tiled->work());
    launch.tiled = std::move(tiled);
    plan_.build_time.schedule_us += watch_.lap();
  }

  // Tensor arguments follow.
  void begin_arguments(Launch& launch, const std::vector<std::int32_t>& scalars) {
    launch.first_argument = static_cast<std::uint32_t>(plan_.arguments.size());
    launch.first_scalar = static_cast<std::uint32_t>(plan_.scalars.size());
    plan_.scalars.insert(plan_.scalars.end(), scalars.begin(), scalars.end());
  }

  // Each tensor counts once; of one that is picked from no more than one element for each position is read.
  std::int64_t traffic(const Kernel& kernel, std::int64_t positions) const {
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

  void copy(Type type, const PlacedTensor& from, const PlacedTensor& to) {
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

  void launch(Scheduled scheduled, int number, std::span<const Place> inputs,
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

  // Where loops take no step nothing is picked, and there may be nothing to pick from.
  void pick(const Kernel& kernel, std::int64_t positions) {
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

  void note_checks() {
    for (const Check& check : graph().checks())
      plan_.checks.push_back(placement_.at(flow_.tensor_of(check.condition)).place);
  }

  void copy_outputs() {
    for (std::size_t i = 0; i < flow_.outputs.size(); ++i) {
      const PlacedTensor& from = placement_.at(flow_.outputs[i].tensor);
      const PlacedTensor to{{Place::kOutput, static_cast<std::int32_t>(i), 0}, results_[i], true};
      if (from.place.kind == to.place.kind && from.place.index == to.place.index) continue;
      copy(plan_.outputs[i].type, from, to);
    }
  }

  void settle() {
    plan_.arena_bytes = placement_.assign(stacking_.overlaps());
    plan_.stages = stacking_.take_stages();
    for (Place& place : plan_.arguments) placement_.settle(place);
    for (Place& place : plan_.checks) placement_.settle(place);
    plan_.launches.shrink_to_fit();
    plan_.stages.shrink_to_fit();
    plan_.arguments.shrink_to_fit();
    plan_.scalars.shrink_to_fit();
    plan_.checks.shrink_to_fit();
  }

  Stopwatch watch_;
  const Flow& flow_;
  DimValues values_;
  Placement placement_;
  Stacking stacking_;
  std::vector<Program>* programs_;
  KernelShape shape_;
  std::vector<Place> reads_, writes_;  // of a launch
  std::vector<Layout> results_;        // of the outputs
  LaunchPlan plan_;
  int step_ = 0;
};

}  // namespace

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
