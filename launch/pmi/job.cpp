#include "launch/pmi/job.hpp"

#include <algorithm>
#include <charconv>

#include "archive/bounded.hpp"
#include "core/defaults.hpp"

namespace trireme::pmi {
namespace {

using Values = std::vector<std::pair<std::string, std::string>>;

constexpr std::string_view not_supported = "not_supported_by_trireme";

Error broken(std::string what) {
  return {std::move(what), "PMI-1", "is the program linked to MPICH?"};
}

std::string text_of(const auto& fields, std::string_view name) {
  const auto found = fields.find(name);
  return found == fields.end() ? "" : found->second;
}

}  // namespace

Job::Job(JobSettings settings, JobOutput output) : settings_(std::move(settings)), output_(std::move(output)) {
  members_.resize(settings_.local_ranks);
  if (!settings_.mapping.empty()) values_.emplace("PMI_process_mapping", settings_.mapping);
}

void Job::answer(std::uint32_t rank, std::string line) {
  output_.send(rank, std::move(line) + "\n");
}

Status Job::on_line(std::uint32_t rank, std::string_view line) {
  Member& self = member(rank);
  if (self.in_spawn) {
    if (line != "endcmd") return {};
    self.in_spawn = false;
    answer(rank, "cmd=spawn_result rc=-1 msg=" + std::string(not_supported));
    return {};
  }
  if (line == "mcmd=spawn") {
    self.in_spawn = true;
    return {};
  }
  // NAME=VALUE, separated by blanks; the last value of a put may hold blanks itself.
  Fields fields;
  for (std::string_view rest = line; !rest.empty();) {
    const auto equals = rest.find('=');
    if (equals == std::string_view::npos) break;
    const bool to_end = rest.starts_with("value=");
    const auto end = to_end ? rest.size() : std::min(rest.find(' ', equals), rest.size());
    fields.emplace(rest.substr(0, equals), rest.substr(equals + 1, end - equals - 1));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  const std::string command = text_of(fields, "cmd");
  if (command == "init") {
    attendance_.enter(rank);
    const bool known = text_of(fields, "pmi_version") == "1";
    answer(rank, std::string("cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=") + (known ? "0" : "-1"));
  } else if (command == "get_maxes") {
    answer(rank, "cmd=maxes kvsname_max=" + std::to_string(max_name) + " keylen_max=" + std::to_string(max_key) +
                     " vallen_max=" + std::to_string(max_value));
  } else if (command == "get_appnum") {
    answer(rank, "cmd=appnum appnum=0");
  } else if (command == "get_my_kvsname") {
    answer(rank, "cmd=my_kvsname kvsname=" + settings_.name);
  } else if (command == "get_universe_size") {
    answer(rank, "cmd=universe_size size=" + std::to_string(settings_.size));
  } else if (command == "put") {
    return put(rank, fields);
  } else if (command == "get") {
    get(rank, fields);
  } else if (command == "barrier_in") {
    barrier(rank);
  } else if (command == "finalize") {
    attendance_.finish(rank);
    answer(rank, "cmd=finalize_ack");
  } else if (command == "abort") {
    std::int32_t code = 1;
    const std::string told = text_of(fields, "exitcode");
    std::from_chars(told.data(), told.data() + told.size(), code);
    output_.abort(rank, code);
  } else if (command == "publish_name" || command == "unpublish_name" || command == "lookup_name") {
    const std::string stem = command.substr(0, command.find('_'));
    answer(rank, "cmd=" + stem + "_result rc=-1 msg=" + std::string(not_supported));
  } else {
    return broken("a command is not known: " + std::string(line.substr(0, max_key)));
  }
  return {};
}

Status Job::put(std::uint32_t rank, const Fields& fields) {
  std::string key = text_of(fields, "key");
  std::string value = text_of(fields, "value");
  if (values_.size() >= defaults::pmi_keys) return broken("more keys are put than a task may have");
  if (key.empty() || key.size() > max_key || value.size() > max_value) {
    answer(rank, "cmd=put_result rc=-1 msg=key_or_value_too_long");
    return {};
  }
  values_.insert_or_assign(key, value);
  fresh_.emplace_back(std::move(key), std::move(value));
  answer(rank, "cmd=put_result rc=0 msg=success");
  return {};
}

void Job::get(std::uint32_t rank, const Fields& fields) {
  const std::string key = text_of(fields, "key");
  const auto found = values_.find(key);
  if (found == values_.end()) {
    answer(rank, "cmd=get_result rc=-1 msg=key_" + key + "_not_found value=unknown");
  } else {
    answer(rank, "cmd=get_result rc=0 msg=success value=" + found->second);
  }
}

void Job::barrier(std::uint32_t rank) {
  member(rank).at_barrier = true;
  if (!std::all_of(members_.begin(), members_.end(), [](const Member& one) { return one.at_barrier; })) return;
  output_.exchange(archive::write(std::exchange(fresh_, {})));
}

void Job::on_gathered(const std::vector<std::string>& given) {
  for (const std::string& bytes : given) {
    auto values = archive::read<Values>(bytes);
    if (!values) continue;  // not from an agent of this build; the ranks will miss the keys and say which
    for (auto& [key, value] : *values) values_.insert_or_assign(std::move(key), std::move(value));
  }
  for (std::uint32_t i = 0; i < settings_.local_ranks; ++i) {
    members_[i].at_barrier = false;
    answer(settings_.first_rank + i, "cmd=barrier_out");
  }
}

std::string process_mapping(const std::vector<RankBlock>& layout, const std::function<std::uint32_t(Rank)>& host_of) {
  struct Run {
    std::uint32_t host;
    std::uint32_t hosts;
    std::uint32_t ranks;  // on each of them
  };
  std::vector<Run> runs;
  // MPICH counts on hosts that are numbered from 0 without gaps: those of this task, in the order of its ranks.
  std::map<std::uint32_t, std::uint32_t> numbers;
  for (const RankBlock& block : layout) {
    const auto next_number = static_cast<std::uint32_t>(numbers.size());
    const std::uint32_t host = numbers.emplace(host_of(block.node), next_number).first->second;
    if (!runs.empty() && runs.back().hosts == 1 && runs.back().host == host) {
      runs.back().ranks += block.local_ranks;
    } else {
      runs.push_back({host, 1, block.local_ranks});
    }
  }
  std::string text = "(vector";
  for (std::size_t i = 0; i < runs.size();) {
    // Neighbouring hosts with the same number of ranks are one entry.
    std::size_t next = i + 1;
    while (next < runs.size() && runs[next].ranks == runs[i].ranks &&
           runs[next].host == runs[i].host + static_cast<std::uint32_t>(next - i)) {
      ++next;
    }
    text += ",(" + std::to_string(runs[i].host) + "," + std::to_string(next - i) + "," + std::to_string(runs[i].ranks) +
            ")";
    i = next;
  }
  text += ")";
  return text.size() <= max_value ? text : "";
}

}  // namespace trireme::pmi
