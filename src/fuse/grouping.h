// Which operations share a Kernel. Every operation starts as a group of its own with its dimensions as loop axes;
// two groups become one when their axes can be identified, they reduce over the same axes, nothing outside lies
// between them, and all that others need from them can be stored from the common loops.
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fuse/views.h"
#include "isa/program.h"

namespace dvm {

struct Group {
  std::vector<Dim> axes;
  std::uint32_t reduced = 0;   // one bit per axis
  std::vector<Value> members;  // ascending
  std::vector<Value> tensors;  // what they read that is not one of them, ascending; no leaves
  std::size_t gathers = 0;     // members that are
};

/// Two dimensions that are not known to be equal.
struct Guard {
  Dim a, b;
  bool operator==(const Guard&) const = default;
};

/// Whether an operation is cheap enough to be done more than once, and of how many a value may then be made.
bool is_cheap(const Node& node);
inline constexpr int kMaxCheapOps = 6;

class Grouping {
 public:
  /// `copies` are values that join who reads them and not what they read.
  explicit Grouping(const Graph& graph, std::set<Value> copies = {});

  static constexpr int kNone = -1;
  /// The group of a value, or kNone for tensors that exist (inputs, joined tensors, opaque views) and leaves.
  int group_of(Value value) const { return group_[value]; }
  const Group& group(int index) const { return groups_[index]; }
  /// The groups that are left, in the order of their first members.
  std::vector<int> live_groups() const;

  /// The axes of a member's dimensions within its group.
  const AxisMap& axes(Value member) const { return axes_[member]; }
  /// The axes of the dimensions of a reduction's operand.
  const AxisMap& operand_axes(Value reduction) const { return operand_axes_[reduction]; }
  /// The roots that a member reads, with their dimensions in axes of the member's group.
  std::vector<Root> reads(Value member) const;

  /// Whether something outside `group` needs the value: a join, an output, an opaque view or another group.
  bool needed_outside(Value member) const;
  /// Whether a join, an output, a matrix product or an opaque view needs the value.
  bool outside(Value value) const { return outside_[value] != 0; }
  bool live(Value value) const { return live_[value]; }
  /// Users of a value, transparent views looked through.
  const std::vector<Value>& users(Value value) const { return users_[value]; }
  bool is_output(Value value) const { return output_[value]; }

  const std::vector<std::string>& notes() const { return notes_; }
  const std::vector<Guard>& guards() const { return guards_; }

 private:
  void find_users();
  void start(Value value);
  void absorb_producers(Value value);
  void join_siblings();
  /// Makes one group of `a` and `b` if that is allowed; pairs identify axes of a with axes of b.
  bool merge(int a, int b, const std::vector<std::pair<int, int>>& pairs, Value at);
  bool identify_axes(const Group& a, const Group& b, std::vector<int>& b_to_a);
  /// Notes that two groups would share loops if these dimensions were equal, as they may be in some calls.
  void guard(const std::vector<std::pair<Dim, Dim>>& equal);
  /// A merge that is being judged. The axes of `a` keep their numbers, those of `b` get the ones in b_to_a.
  struct Merge {
    int a, b;
    std::vector<int> b_to_a;
    bool renames_b;
    Group merged;
  };
  bool consistent(const Merge& merge) const;
  bool fits(const Merge& merge, Value member) const;
  bool reads_fit(const Merge& merge, Value member) const;
  AxisMap renamed(const Merge& merge, Value member, const AxisMap& axes) const;
  bool path_outside(int from, int to);
  bool worth_recomputing(int a, std::size_t axes_before, std::size_t axes_after) const;
  AxisMap operand_map(Value member, std::size_t operand, const AxisMap& axes,
                      const AxisMap& operand_axes) const;
  void refuse(int a, int b, Value at, const char* why);

  const Graph& graph_;
  std::set<Value> copies_;
  std::vector<int> group_;
  std::vector<Group> groups_;
  std::vector<AxisMap> axes_;          // per node
  std::vector<AxisMap> operand_axes_;  // per reduction: of its operand
  std::vector<std::vector<Value>> users_;
  std::vector<char> live_, output_,
      outside_;  // outside_: used by a join, an output or an opaque view
  std::vector<std::string> notes_;
  std::vector<Guard> guards_;

  // Of path_outside: what the search with this number has seen.
  std::vector<int> seen_, seen_group_;
  int search_ = 0;
};

}  // namespace dvm
