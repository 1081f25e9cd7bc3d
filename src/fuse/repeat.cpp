#include "fuse/repeat.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <utility>

#include "fuse/copies.h"
#include "fuse/grouping.h"

namespace dvm {
namespace {

// What a size is taken for that nothing is known of.
constexpr std::int64_t kUsual = 128;
// What a Kernel costs besides its bytes and operations, in bytes: the others wait for the last of its threads.
constexpr double kLaunch = 8192;
// What varies over fewer axes than the loops around it is computed once for each tile. A tile is about so many elements:
// stretches of the last axis, as many as that makes.
constexpr double kTile = 1024;
// An operation on an element in registers takes as long as to move a part of it.
constexpr double kBytesOfOperation = 0.25;
constexpr int kTries = 3;

/// What it takes to compute a value again: operations, and the tensors that they read.
struct Cone {
  std::set<Value> members, sources;
};

/// A number at usual sizes, and as arithmetic on the sizes.
struct Amount {
  double usual = 0;
  Dim exact;
};

class Judgement {
 public:
  Judgement(Graph& graph, const Grouping& grouping) : graph_(graph), grouping_(grouping) {
    for (const int group : grouping.live_groups()) {
      for (const Value member : grouping.group(group).members) judge(member);
    }
  }

  const std::map<Value, Copies::Readers>& repeated() const { return repeated_; }
  const std::string& why(Value value) const { return why_.at(value); }

  /// The lines of values that are stored. Those in `lost` would have been repeated, had their copies found a place.
  std::vector<std::string> kept(const std::set<Value>& lost) const {
    std::vector<std::string> lines;
    for (const auto& [value, why] : why_) {
      if (lost.contains(value)) {
        lines.push_back(named(graph_, value) + " is stored: what reads it has no room for a copy");
      } else if (!repeated_.contains(value)) {
        lines.push_back(named(graph_, value) + why);
      }
    }
    return lines;
  }

  static std::string named(const Graph& graph, Value value) {
    const Node& node = graph.node(value);
    const std::string op = node.kind == NodeKind::kCast   ? "cast"
                           : node.kind == NodeKind::kIota ? "iota"
                                                          : std::string(info(node.op).name);
    return op + " %" + std::to_string(value);
  }

 private:
  void judge(Value value) {
    if (grouping_.outside(value)) return;
    std::set<int> readers;
    for (const Value user : grouping_.users(value)) readers.insert(grouping_.group_of(user));
    readers.erase(grouping_.group_of(value));
    Cone cone;
    if (readers.empty() || !find_cone(value, cone)) return;
    const bool ends = ends_group(value, cone);
    if (ends && readers.size() == 1) return;  // they were tried to be one
    for (const int reader : readers) {
      if (!takes(reader, cone)) return;
    }
    (void)fits([&] { weigh(value, cone, readers, ends); });
  }

  // False when a product of sizes does not fit 64 bits: then the value stays as it is.
  template <class Body>
  static bool fits(Body body) {
    try {
      body();
    } catch (const std::invalid_argument&) {
      return false;
    }
    return true;
  }

  void weigh(Value value, const Cone& cone, const std::set<int>& readers, bool ends) {
    const Node& node = graph_.node(value);
    const auto count = static_cast<std::int64_t>(readers.size());
    Amount stored = nothing(), again = nothing(), operations = nothing();
    add(stored, node.shape, bytes(node.type) * (1 + count));
    for (const Value source : cone.sources) {
      const Node& read = graph_.node(source);
      if (ends) add(stored, read.shape, bytes(read.type));
      for (const int reader : readers) {
        const std::vector<Value>& tensors = grouping_.group(reader).tensors;
        if (!std::ranges::binary_search(tensors, source)) add(again, read.shape, bytes(read.type));
      }
    }
    double work = 0;
    for (const Value member : cone.members) {
      const Node& made = graph_.node(member);
      Amount once = nothing();
      add(once, made.shape, 1);
      add(operations, made.shape, count - (ends ? 1 : 0));
      const double each = kBytesOfOperation * static_cast<double>(bytes(compute(made.type)));
      for (const int reader : readers) work += each * std::max(once.usual, steps(value, reader));
      if (ends) work -= each * once.usual;
    }
    const bool repeat = again.usual + work < stored.usual + (ends ? kLaunch : 0);
    const std::string who = count == 1 ? "another kernel" : std::to_string(count) + " kernels";
    const auto text = [&](const Amount& amount) { return graph_.dims().text(amount.exact); };
    why_[value] = repeat ? " is computed again in " + who + ": that moves " + text(again) +
                               " bytes and takes " + text(operations) +
                               " operations, to store it would move " + text(stored) + " bytes"
                         : " is stored for " + who + ": that moves " + text(stored) +
                               " bytes, to compute it again would move " + text(again) +
                               " and take " + text(operations) + " operations";
    if (!repeat) return;
    for (const int reader : readers) repeated_[value][reader] = cone.members;
  }

  // How often a reader's loops compute an element of a value at least, as they come to other elements of what is around it.
  double steps(Value value, int reader) {
    const Group& group = grouping_.group(reader);
    Amount loops = nothing();
    add(loops, group.axes, 1);
    if (group.axes.empty()) return loops.usual;
    const std::size_t last = group.axes.size() - 1;
    const bool along_rows = (mask_within(value, reader) >> last & 1) == 0;
    if (along_rows) return loops.usual / kTile;
    return loops.usual / std::max(1.0, kTile / usual_value(group.axes[last]));
  }

  // The axes of a reader's loops over which it sees a value vary.
  std::uint32_t mask_within(Value value, int reader) const {
    for (const Value user : grouping_.users(value)) {
      if (grouping_.group_of(user) != reader) continue;
      for (const Root& root : grouping_.reads(user)) {
        if (root.value == value) return mask_of(root.axes);
      }
    }
    return 0;
  }

  // Whether all that leads to a value within its group is cheap, or stored anyhow.
  bool find_cone(Value value, Cone& cone) const {
    std::vector<Value> pending = {value};
    while (!pending.empty()) {
      const Value member = pending.back();
      pending.pop_back();
      if (!is_cheap(graph_.node(member)) || cone.members.size() == kMaxCheapOps) return false;
      if (!cone.members.insert(member).second) continue;
      for (const Root& root : grouping_.reads(member)) {
        const Node& node = graph_.node(root.value);
        if (is_leaf(node)) continue;
        if (made_by_tiles(node)) return false;  // it may never be in memory
        const bool mine = grouping_.group_of(root.value) == grouping_.group_of(value);
        if (mine && (!grouping_.needed_outside(root.value) || repeated_.contains(root.value))) {
          if (!cone.members.contains(root.value)) pending.push_back(root.value);
        } else if (repeated_.contains(root.value)) {
          return false;  // it will not be in memory either
        } else {
          cone.sources.insert(root.value);
        }
      }
    }
    return true;
  }

  static bool made_by_tiles(const Node& node) {
    return node.kind == NodeKind::kMatmul || node.kind == NodeKind::kConvolve ||
           node.kind == NodeKind::kPool;
  }

  // What finishes the tiles of a product knows no positions.
  bool takes(int reader, const Cone& cone) const {
    const auto counts = [&](Value value) { return graph_.node(value).kind == NodeKind::kIota; };
    const auto tiled = [&](Value value) { return made_by_tiles(graph_.node(value)); };
    return std::ranges::none_of(cone.members, counts) ||
           std::ranges::none_of(grouping_.group(reader).tensors, tiled);
  }

  // Whether nothing would be left of the Kernel that stores a value.
  bool ends_group(Value value, const Cone& cone) const {
    const int group = grouping_.group_of(value);
    return std::ranges::all_of(grouping_.group(group).members, [&](Value member) {
      if (grouping_.outside(member)) return false;
      if (member == value || repeated_.contains(member)) return true;
      return cone.members.contains(member) && !grouping_.needed_outside(member);
    });
  }

  Amount nothing() { return {0, graph_.dims().constant(0)}; }

  void add(Amount& amount, const std::vector<Dim>& shape, std::int64_t each) {
    Dims& dims = graph_.dims();
    Dim product = dims.constant(each);
    double usual = static_cast<double>(each);
    for (const Dim dim : shape) {
      product = dims.binary(DimOp::kMultiply, product, dim);
      usual *= usual_value(dim);
    }
    amount.usual += usual;
    amount.exact = dims.binary(DimOp::kAdd, amount.exact, product);
  }

  double usual_value(Dim dim) const {
    double total = 0;
    for (const Monomial& part : graph_.dims().polynomial(dim)) {
      double product = static_cast<double>(part.factor);
      for (const Dim atom : part.atoms) {
        const std::vector<std::int64_t> likely = graph_.facts().likely(atom);
        const Range range = graph_.facts().range(atom);
        product *= static_cast<double>(
            likely.empty() ? std::max(range.low, std::min(kUsual, range.high)) : likely[0]);
      }
      total += product;
    }
    return std::max(total, 0.0);
  }

  Graph& graph_;
  const Grouping& grouping_;
  std::map<Value, Copies::Readers> repeated_;
  std::map<Value, std::string> why_;
};

}  // namespace

Repetition repeat_cheap_values(Graph& graph) {
  const Grouping grouping(graph);
  const Judgement judgement(graph, grouping);
  std::map<Value, Copies::Readers> repeated = judgement.repeated();
  std::set<Value> lost;
  for (int tries = 0; !repeated.empty() && tries < kTries; ++tries) {
    const Copies copies(graph, grouping, repeated);
    Graph with = copies.graph();
    std::set<Value> made = copies.made();
    const Grouping after(with, made);
    const std::set<Value> apart = copies.apart(after);
    if (apart.empty()) {
      std::vector<std::string> notes = Judgement(with, after).kept({});
      for (const auto& [value, readers] : repeated) {
        const Value now = copies.first_of(value);
        notes.push_back(Judgement::named(with, now) + judgement.why(value));
      }
      graph = std::move(with);
      return {std::move(made), std::move(notes)};
    }
    for (const Value value : apart) {
      repeated.erase(value);
      lost.insert(value);
    }
  }
  return {{}, judgement.kept(lost)};
}

}  // namespace dvm
