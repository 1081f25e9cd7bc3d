// What a Planner does with products, convolutions, pools, attention and scans: they are made tile by tile, and a Kernel may
// finish the tiles of the first three.
#include <algorithm>
#include <iterator>
#include <optional>

#include "cpu/dispatch.h"
#include "cpu/grouped.h"
#include "cpu/scan.h"
#include "fuse/epilogue.h"
#include "graph/windows.h"
#include "runtime/attention_plan.h"
#include "runtime/channel_order.h"
#include "runtime/convolution_plan.h"
#include "runtime/matmul_plan.h"
#include "runtime/planner.h"

namespace dvm {

std::vector<std::int64_t> Planner::sizes_of(Value value) {
  const std::span<const std::int64_t> sizes = placement_.sizes_of(value);
  return {sizes.begin(), sizes.end()};
}

void Planner::matmul(const Step& step) {
  const Node& node = graph().node(step.value);
  if (is_grouped(node)) return grouped(step.value);
  const std::vector<std::int64_t> sizes = sizes_of(step.value);
  std::vector<PlacedTensor> operands = operands_of(node);
  const bool weight = is_weight(operands[1].place);
  std::optional<cpu::PackForm> form;
  const auto plan_of = [&] {
    MatmulPlan plan(product_of(graph(), node), bits_of(node), sizes, layouts_of(operands));
    if (weight) form = plan.pack();
    return plan;
  };
  MatmulPlan plan = plan_of();
  for (int which; (which = plan.operand_to_copy()) >= 0; plan = plan_of()) {
    PlacedTensor& operand = operands[which];
    operand = dense_copy(graph().node(node.operands[which]).type, operand,
                         plan.copy_order(which, operand.layout.rank));
  }
  if (form) operands[1].place = packed(operands[1].place, *form);
  tiles(step, plan, operands);
}

bool Planner::is_weight(const Place& place) const {
  return packs_ && place.kind == Place::kInput &&
         graph().node(graph().inputs()[place.index]).is_weight;
}

Place Planner::packed(const Place& input, const cpu::PackForm& form) {
  const PackedInput wanted{input.index, input.offset, form};
  const auto at = std::ranges::find(plan_.packed, wanted);
  const auto number = static_cast<std::int32_t>(at - plan_.packed.begin());
  if (at == plan_.packed.end()) plan_.packed.push_back(wanted);
  return {Place::kPacked, number, 0};
}

void Planner::grouped(Value value) {
  const Node& node = graph().node(value);
  const PlacedTensor& result = placement_.make(flow_.tensor_of(value), step_);
  if (result.layout.elements() == 0) return;
  std::vector<PlacedTensor> operands = operands_of(node);
  const int types = product_of(graph(), node);
  // Each group is a product: what these take, it takes.
  const std::int64_t sizes[] = {operands[1].layout.sizes[0], result.layout.sizes[0],
                                result.layout.sizes[1]};
  const auto plan_of = [&] {
    const Layout* const matrices[] = {&operands[0].layout, &operands[1].layout};
    return MatmulPlan(types, 0, sizes, matrices);
  };
  MatmulPlan plan = plan_of();
  for (int which; (which = plan.operand_to_copy()) >= 0; plan = plan_of()) {
    PlacedTensor& operand = operands[which];
    operand = dense_copy(graph().node(node.operands[which]).type, operand,
                         plan.copy_order(which, operand.layout.rank));
  }
  const bool in_place = contiguous_at_end(result.layout, bytes(node.type));
  const PlacedTensor made = in_place ? result : scratch_like(node.type, result);
  std::int64_t moved = bytes_of(made.layout, node.type);
  const std::vector<Place> reads = places_of(value, operands, moved);
  const Layout &a = operands[0].layout, &b = operands[1].layout, &ends = operands[2].layout;
  const cpu::GroupedShape shape{.types = types,
                                .rows = a.sizes[0],
                                .n = b.sizes[2],
                                .k = b.sizes[1],
                                .groups = b.sizes[0],
                                .a_row = a.strides[0],
                                .a_k = a.strides[1],
                                .b_group = b.strides[0],
                                .b_k = b.strides[1],
                                .b_n = b.strides[2],
                                .result_row = made.layout.strides[0],
                                .end_type = graph().node(node.operands[2]).type,
                                .end = ends.strides[0]};
  add_tiled(std::make_unique<cpu::Grouped>(shape, *cpu::isa().kernels), -1, reads, {&made.place, 1},
            {}, moved);
  if (!in_place) copy(node.type, made, result);
}

void Planner::convolve(const Step& step) {
  const Node& node = graph().node(step.value);
  const std::vector<std::int64_t> sizes = sizes_of(step.value);
  const Windows moves = windows(node);
  std::vector<PlacedTensor> operands = operands_of(node);
  PlacedTensor &x = operands[0], &weight = operands[1];
  weight.layout = weight_by_groups(weight.layout, moves);
  const bool last = writes_channels_last(step);
  const auto plan_of = [&] {
    ConvolutionPlan plan(moves, sizes, x.layout, weight.layout);
    plan.turn(last);
    return plan;
  };
  ConvolutionPlan plan = plan_of();
  if (last && !plan.by_places() && moves.groups == 1) {
    x = dense_copy(node.type, x, channels_last(x.layout.rank));
    plan = plan_of();
  }
  if (is_weight(weight.place)) {
    if (const auto form = plan.pack(weight.layout)) weight.place = packed(weight.place, *form);
  }
  if (!plan.takes(weight.layout)) {
    weight = dense_copy(node.type, weight, plan.weight_order());
    plan = plan_of();
  }
  tiles(step, plan, operands);
}

void Planner::pool(const Step& step) {
  const Node& node = graph().node(step.value);
  const std::vector<std::int64_t> sizes = sizes_of(step.value);
  const PlacedTensor operand = placement_.at(flow_.tensor_of(node.operands[0]));
  ConvolutionPlan plan(node.op, windows(node), sizes, operand.layout);
  plan.turn(writes_channels_last(step));
  tiles(step, plan, {&operand, 1});
}

// Whether the channels of what a convolution or pool makes, or the Kernel that ends it, belong side by side.
bool Planner::writes_channels_last(const Step& step) const {
  if (step.index < 0) return flow_.tensors[flow_.tensor_of(step.value)].channels_last;
  return std::ranges::any_of(flow_.fusion.kernels[step.index].outputs, [&](const auto& output) {
    return flow_.tensors[flow_.tensor_of(output.value)].channels_last;
  });
}

template <class Plan>
void Planner::tiles(const Step& step, Plan& plan, std::span<const PlacedTensor> operands) {
  if (step.index < 0) {
    tiles_alone(step.value, plan, operands);
  } else {
    tiles_with_epilogue(step, plan, operands);
  }
}

void Planner::attention(Value value) {
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
      attention_shape(layouts_of(operands), types, made.layout, scoring(node)),
      *cpu::isa().kernels);
  add_tiled(std::move(tiled), -1, reads, {&made.place, 1}, {}, moved);
  if (made.place.kind != result.place.kind || made.place.index != result.place.index)
    copy(Type::f32, made, result);
}

void Planner::scan(Value value) {
  const Node& node = graph().node(value);
  const PlacedTensor& result = placement_.make(flow_.tensor_of(value), step_);
  if (result.layout.elements() == 0) return;
  const std::vector<PlacedTensor> operands = operands_of(node);
  const Layout& from = operands[0].layout;
  cpu::ScanShape shape;
  for (int k = 0; k < result.layout.rank; ++k) {
    const std::int64_t size = result.layout.sizes[k];
    cpu::ScanAxis axis{size, size == 1 ? 0 : from.strides[k], result.layout.strides[k]};
    if (k == node.axes[0]) {
      shape.along = axis;
    } else if (size != 1) {
      shape.lines.push_back(axis);
    }
  }
  std::int64_t moved = bytes_of(result.layout, node.type);
  const std::vector<Place> reads = places_of(value, operands, moved);
  auto tiled = std::make_unique<cpu::Scan>(node.op, node.type, std::move(shape));
  add_tiled(std::move(tiled), -1, reads, {&result.place, 1}, {}, moved);
}

std::vector<PlacedTensor> Planner::operands_of(const Node& node) {
  std::vector<PlacedTensor> operands;
  for (const Value operand : node.operands)
    operands.push_back(placement_.at(flow_.tensor_of(operand)));
  return operands;
}

std::vector<const Layout*> Planner::layouts_of(const std::vector<PlacedTensor>& operands) {
  std::vector<const Layout*> layouts;
  for (const PlacedTensor& operand : operands) layouts.push_back(&operand.layout);
  return layouts;
}

std::vector<Place> Planner::places_of(Value product, std::span<const PlacedTensor> operands,
                                      std::int64_t& moved) const {
  std::vector<Place> places;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    places.push_back(operands[i].place);
    moved += bytes_of(operands[i].layout, graph().node(graph().node(product).operands[i]).type);
  }
  return places;
}

template <class Plan>
void Planner::tiles_alone(Value value, Plan& plan, std::span<const PlacedTensor> operands) {
  const Type type = graph().node(value).type;
  const PlacedTensor& result = placement_.make(flow_.tensor_of(value), step_);
  if (result.layout.elements() == 0) return;
  const bool in_place = plan.writes(result.layout);
  const PlacedTensor made = in_place ? result : scratch_like(type, result, plan.result_order());
  std::int64_t moved = bytes_of(made.layout, type);
  const std::vector<Place> reads = places_of(value, operands, moved);
  add_tiled(plan.write(made.layout), -1, reads, {&made.place, 1}, {}, moved);
  if (!in_place) copy(type, made, result);
}

template <class Plan>
void Planner::tiles_with_epilogue(const Step& step, Plan& plan,
                                  std::span<const PlacedTensor> operands) {
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

void Planner::add_tiled(std::unique_ptr<cpu::Tiled> tiled, int number, std::span<const Place> reads,
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

}  // namespace dvm
