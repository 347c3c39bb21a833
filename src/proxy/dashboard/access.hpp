// Who may see the dashboard, by a request's head.
//
// The page's address carries a key that is good once: it is answered with a cookie, and the next key is made. So what stays in
// a browser's history, or in the log of a terminal, opens nothing. The cookie is for this run alone, unreadable for scripts and
// never sent from pages of other sites. Programs may send the run's control token instead. A Host that is not loopback is refused
// (a name of somebody else's that resolves to 127.0.0.1), and so is what comes from another origin.
//
// Pure functions; docs/spec/dashboard.md is the contract.
#pragma once

#include <string>
#include <string_view>

#include "core/run_info.hpp"
#include "proxy/http/access.hpp"
#include "proxy/http/head.hpp"

namespace trireme::proxy::dashboard {

struct Keys {
  std::string once;     ///< of the address; empty: none is good
  std::string session;  ///< of the cookie
};

enum class Verdict {
  open,       ///< may see all
  redeem,     ///< has the key: is given the cookie
  files,      ///< may have the page's parts, which tell nothing of the run
  no_key,     ///< neither cookie nor key
  wrong_key,  ///< a key that is not, or no longer, good
  refused,    ///< another user, another host name or another origin
};

Verdict judge(const http::RequestHead& head, http::Peer peer, const Keys& keys, const RunInfo& run);

/// The cookie's name: cookies of all ports of a host are one, so each run has its own.
std::string cookie_name(const RunInfo& run);
/// "NAME=SESSION; Path=/dashboard; HttpOnly; SameSite=Strict".
std::string set_cookie(const Keys& keys, const RunInfo& run);

}  // namespace trireme::proxy::dashboard
