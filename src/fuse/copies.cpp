#include "fuse/copies.h"

#include <algorithm>
#include <utility>

namespace dvm {

Copies::Copies(const Graph& graph, const Grouping& grouping,
               const std::map<Value, Readers>& repeated)
    : source_(graph), grouping_(grouping) {
  for (const auto& [value, readers] : repeated) {
    repeated_.insert(value);
    for (const auto& [group, members] : readers)
      copied_[group].insert(members.begin(), members.end());
  }
  write();
  number();
}

void Copies::write() {
  const auto count = static_cast<Value>(source_.nodes().size());
  for (Value value = 0; value < count; ++value) {
    Node node = source_.node(value);
    const int group = grouping_.group_of(value);
    for (Value& operand : node.operands) {
      operand = group != Grouping::kNone && copied_.contains(group) ? within(group, operand)
                                                                    : now_[operand];
    }
    now_.push_back(static_cast<Value>(nodes_.size()));
    nodes_.push_back(std::move(node));
  }
}

Value Copies::within(int group, Value value) {
  const auto known = within_.find({group, value});
  if (known != within_.end()) return known->second;
  const bool copied = copied_.at(group).contains(value);
  if (!copied && !is_transparent(source_, value)) return now_[value];
  Node node = source_.node(value);
  bool same = !copied;
  for (Value& operand : node.operands) {
    const Value before = now_[operand];
    operand = within(group, operand);
    same = same && operand == before;
  }
  if (same) return now_[value];  // a view of what is not copied
  const auto made = static_cast<Value>(nodes_.size());
  nodes_.push_back(std::move(node));
  if (copied) copies_.push_back({value, group, made});
  return within_[{group, value}] = made;
}

// Arguments stay, needed or not: a caller passes them by their order.
void Copies::number() {
  std::vector<char> needed(nodes_.size(), 0);
  for (const Value output : source_.outputs()) needed[now_[output]] = 1;
  for (const Check& check : source_.checks()) needed[now_[check.condition]] = 1;
  for (std::size_t i = nodes_.size(); i-- > 0;) {
    const bool argument = nodes_[i].kind == NodeKind::kInput || nodes_[i].kind == NodeKind::kScalar;
    if (argument) needed[i] = 1;
    if (needed[i] == 0) continue;
    for (const Value operand : nodes_[i].operands) needed[operand] = 1;
  }
  Value next = 0;
  for (const char each : needed) numbers_.push_back(each != 0 ? next++ : -1);
}

Graph Copies::graph() const {
  Graph made(source_.name(), source_.facts());
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (numbers_[i] < 0) continue;
    Node node = nodes_[i];
    for (Value& operand : node.operands) operand = numbers_[operand];
    made.copy(std::move(node));
  }
  for (std::size_t i = 0; i < source_.outputs().size(); ++i)
    made.output(numbers_[now_[source_.outputs()[i]]], source_.orders()[i]);
  for (const Check& check : source_.checks())
    made.check(numbers_[now_[check.condition]], check.message);
  return made;
}

std::set<Value> Copies::made() const {
  std::set<Value> all;
  for (const Copy& copy : copies_) {
    if (numbers_[copy.made] >= 0) all.insert(numbers_[copy.made]);
  }
  return all;
}

Value Copies::first_of(Value value) const {
  return numbers_[std::ranges::find(copies_, value, &Copy::of)->made];
}

std::set<Value> Copies::apart(const Grouping& after) const {
  std::set<Value> found;
  for (const Copy& copy : copies_) {
    if (!repeated_.contains(copy.of) || numbers_[copy.made] < 0) continue;
    const Value reader = grouping_.group(copy.group).members.front();
    if (after.group_of(numbers_[copy.made]) != after.group_of(numbers_[now_[reader]]))
      found.insert(copy.of);
  }
  return found;
}

}  // namespace dvm
