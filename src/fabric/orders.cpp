#include "fabric/orders.hpp"

#include <cstring>
#include <utility>
#include <vector>

#include "archive/bounded.hpp"

namespace trireme {
namespace {

enum class OrderKind : std::uint8_t { other, start };

/// What follows the attempt in an order to start a task.
struct StartFlags {
  static constexpr std::uint8_t ahead = 1;
  static constexpr std::uint8_t in_parts = 2;   ///< first rank, ranks, layout: else it is one rank
  static constexpr std::uint8_t instance = 4;   ///< the values of the variables
  static constexpr std::uint8_t variables = 8;  ///< … and their names, which were others in the order before
};

/// Hands the fields of a description to a function, as its serialize() names them.
template <typename Function>
struct Fields {
  Function function;
  template <typename... Field>
  void operator()(Field&... fields) {
    function(fields...);
  }
};

template <typename Function>
void with_fields(TaskDescription& task, Function function) {
  Fields<Function> fields{std::move(function)};
  task.serialize(fields);
}

/// serialize() is not const, though it changes nothing for who only looks: cereal takes it so too.
template <typename Function>
void compare(const TaskDescription& a, const TaskDescription& b, Function function) {
  with_fields(const_cast<TaskDescription&>(a), [&](const auto&... of_a) {
    with_fields(const_cast<TaskDescription&>(b), [&](const auto&... of_b) { (function(of_a, of_b), ...); });
  });
}

using Mask = std::uint32_t;

void write_difference(archive::Output& archive, const TaskDescription& task, const TaskDescription& before) {
  Mask mask = 0;
  if (&task != &before) {
    Mask bit = 1;
    compare(task, before, [&](const auto& field, const auto& field_before) {
      if (field != field_before) mask |= bit;
      bit <<= 1;
    });
  }
  archive(mask);
  with_fields(const_cast<TaskDescription&>(task), [&, left = mask](const auto&... fields) mutable {
    const auto write = [&](const auto& field) {
      if ((left & 1) != 0) archive(field);
      left >>= 1;
    };
    if (left != 0) (write(fields), ...);
  });
}

void read_difference(archive::BoundedInput& archive, TaskDescription& task) {
  Mask mask = 0;
  archive(mask);
  std::uint32_t count = 0;
  with_fields(task, [&](auto&... fields) {
    static_assert(sizeof...(fields) <= 8 * sizeof(Mask));
    const auto read = [&](auto& field) {
      if ((mask >> count++ & 1) != 0) archive(field);
    };
    (read(fields), ...);
  });
  if (count < 8 * sizeof mask && mask >> count != 0) throw cereal::Exception("a task has more fields than there are");
}

class OrderReader {
 public:
  explicit OrderReader(std::string_view bytes) : archive_(bytes) {}

  bool at_end() const { return archive_.remaining() == 0; }
  ToAgent next() {
    std::uint8_t kind = 0;
    archive_(kind);
    if (kind == static_cast<std::uint8_t>(OrderKind::start)) return start();
    if (kind != static_cast<std::uint8_t>(OrderKind::other)) throw cereal::Exception("an order is of no known kind");
    ToAgent order;
    archive_(order);
    return order;
  }

 private:
  StartTask start() {
    StartTask order;
    std::uint8_t flags = 0;
    archive_(flags, order.id);
    order.ahead = (flags & StartFlags::ahead) != 0;
    if ((flags & StartFlags::in_parts) != 0) archive_(order.first_rank, order.local_ranks, order.layout);
    read_difference(archive_, before_);
    order.task = before_;
    if ((flags & StartFlags::instance) == 0) return order;
    if ((flags & StartFlags::variables) != 0) archive_(variables_);
    archive_(values_);
    if (values_.size() != variables_.size()) throw cereal::Exception("a task has other values than variables");
    write_out(order.task, variables_, values_);
    return order;
  }

  archive::BoundedInput archive_;
  TaskDescription before_;
  std::vector<std::string> variables_;
  std::vector<std::string> values_;
};

}  // namespace

void OrderWriter::add(const StartOrder& order) {
  if (bytes_.empty()) bytes_.append(sizeof(std::uint64_t), '\0');
  const bool instance = !order.family.single();
  const bool in_parts = order.first_rank != 0 || order.local_ranks != 1 || !order.layout.empty();
  std::uint8_t flags = 0;
  if (order.ahead) flags |= StartFlags::ahead;
  if (in_parts) flags |= StartFlags::in_parts;
  if (instance) flags |= StartFlags::instance;
  if (instance && variables_of_ != &order.family) flags |= StartFlags::variables;

  archive::Output archive(bytes_);
  archive(static_cast<std::uint8_t>(OrderKind::start), flags, order.id);
  if (in_parts) {
    archive(order.first_rank, order.local_ranks, std::vector<RankBlock>(order.layout.begin(), order.layout.end()));
  }
  const TaskDescription& task = order.family.shared();
  if (before_ != nullptr) {
    write_difference(archive, task, *before_);
  } else {
    write_difference(archive, task, TaskDescription());
  }
  before_ = &task;
  if (!instance) return;
  if (variables_of_ != &order.family) archive(order.family.variable_names());
  variables_of_ = &order.family;
  archive(order.family.values(order.instance));
}

void OrderWriter::add(const ToAgent& order) {
  if (const auto* start = std::get_if<StartTask>(&order)) {
    auto task = std::make_unique<TaskFamily>(start->task);
    add(StartOrder{.id = start->id,
                   .first_rank = start->first_rank,
                   .local_ranks = start->local_ranks,
                   .family = *task,
                   .layout = start->layout,
                   .ahead = start->ahead});
    kept_ = std::move(task);
    return;
  }
  if (bytes_.empty()) bytes_.append(sizeof(std::uint64_t), '\0');
  archive::Output archive(bytes_);
  archive(static_cast<std::uint8_t>(OrderKind::other), order);
}

std::string OrderWriter::take() {
  before_ = nullptr;
  variables_of_ = nullptr;
  kept_.reset();
  return std::exchange(bytes_, {});
}

void stamp_epoch(std::string& orders, std::uint64_t epoch) {
  std::memcpy(orders.data(), &epoch, sizeof epoch);
}

std::optional<std::uint64_t> epoch_of(std::string_view orders) {
  std::uint64_t epoch = 0;
  if (orders.size() < sizeof epoch) return std::nullopt;
  std::memcpy(&epoch, orders.data(), sizeof epoch);
  return epoch;
}

Status read_orders(std::string_view orders, const std::function<void(ToAgent)>& take) {
  const auto unreadable = [](const std::string& what) {
    return Error{"orders cannot be read: " + what, "the fabric", ""};
  };
  if (!epoch_of(orders)) return unreadable("the data end too early");
  OrderReader reader(orders.substr(sizeof(std::uint64_t)));
  while (!reader.at_end()) {
    ToAgent order;
    try {
      order = reader.next();
    } catch (const std::exception& error) {
      return unreadable(error.what());
    }
    take(std::move(order));
  }
  return {};
}

}  // namespace trireme
