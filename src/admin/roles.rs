//! Who may do what.
//!
//! Owns the role that each route wants, and the role that each account has. Must not enter: what routes do. Invariant: a route
//! without a line here does not compile; whoever is in no list, when there is any list, may do nothing.

use hyper::Method;
use yagi_api::Role;

use super::Route;
use crate::config::Admin;

/// The least role for a request. The table beside the route table.
pub fn wanted(route: Route, method: &Method) -> Role {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    match route {
        // Answers with a password.
        Route::Urls => Role::Admin,
        // May cost a download, or the reading of a whole list.
        Route::LineupPlan | Route::RulePreview => Role::Operator,
        Route::AceStats
        | Route::AceStreams
        | Route::Change
        | Route::Changes
        | Route::Detail
        | Route::Diff
        | Route::Engines
        | Route::Explain
        | Route::Lineup
        | Route::Lineups
        | Route::Events
        | Route::Guide
        | Route::GuideChannels
        | Route::Health
        | Route::Hello
        | Route::History
        | Route::LogTail
        | Route::Logs
        | Route::OpenApi
        | Route::Programmes
        | Route::Ready
        | Route::Stats
        | Route::Status
        | Route::Streams
        | Route::Clients => Role::Viewer,
        // Read by everybody; what else they do ends, blocks or refreshes.
        Route::AceStream
        | Route::Block
        | Route::Blocks
        | Route::Client
        | Route::Checks
        | Route::ClientBlock
        | Route::Failover
        | Route::GuideRefresh
        | Route::Job
        | Route::Jobs
        | Route::Probe
        | Route::Refresh
        | Route::Stream => {
            if reads {
                Role::Viewer
            } else {
                Role::Operator
            }
        }
        // Read by everybody; what else they do edits.
        Route::Apply
        | Route::Backup
        | Route::BulkCategories
        | Route::BulkChannels
        | Route::BulkSources
        | Route::BulkUsers
        | Route::Categories
        | Route::Category
        | Route::CategoryOrder
        | Route::Channel
        | Route::Channels
        | Route::Extend
        | Route::GuideAccept
        | Route::LineupAccept
        | Route::LineupRollback
        | Route::LogFilter
        | Route::Merge
        | Route::Password
        | Route::Redo
        | Route::Reload
        | Route::Rule
        | Route::Rules
        | Route::Settings
        | Route::Source
        | Route::Sources
        | Route::Token
        | Route::Undo
        | Route::User
        | Route::Users => {
            if reads {
                Role::Viewer
            } else {
                Role::Admin
            }
        }
    }
}

/// An account of this machine, as far as it can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    pub uid: u32,
    pub gid: u32,
    /// Empty: not in the accounts file.
    pub name: String,
}

/// The lists of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Roles {
    lists: [(Role, Vec<String>); 3],
}

impl From<&Admin> for Roles {
    fn from(config: &Admin) -> Self {
        Self {
            lists: [
                (Role::Admin, config.admins.clone()),
                (Role::Operator, config.operators.clone()),
                (Role::Viewer, config.viewers.clone()),
            ],
        }
    }
}

impl Roles {
    /// The highest role that the lists give; `groups` is the text of the groups file, read only when it is needed.
    pub fn of(&self, account: &Account, own_uid: u32, groups: impl FnOnce() -> String) -> Option<Role> {
        if account.uid == 0 || account.uid == own_uid || self.lists.iter().all(|(_, list)| list.is_empty()) {
            return Some(Role::Admin);
        }
        let mut member = Vec::new();
        if self.lists.iter().any(|(_, list)| list.iter().any(|who| who.starts_with('@'))) {
            member = memberships(account, &groups());
        }
        let names = |who: &str| match who.strip_prefix('@') {
            Some(group) => member.iter().any(|m| m == group),
            None => (!account.name.is_empty() && who == account.name) || who.parse() == Ok(account.uid),
        };
        self.lists.iter().find(|(_, list)| list.iter().any(|who| names(who))).map(|(role, _)| *role)
    }
}

/// Names and numbers of the groups that the account is in: its first one, and those that list it.
fn memberships(account: &Account, groups: &str) -> Vec<String> {
    let mut found = vec![account.gid.to_string()];
    for line in groups.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, gid, members] = fields.as_slice() else { continue };
        let listed = !account.name.is_empty() && members.split(',').any(|m| m.trim() == account.name);
        if listed || gid.parse() == Ok(account.gid) {
            found.extend([(*name).to_owned(), (*gid).to_owned()]);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(admins: &[&str], operators: &[&str], viewers: &[&str]) -> Roles {
        let list = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        let config =
            Admin { admins: list(admins), operators: list(operators), viewers: list(viewers), ..Admin::default() };
        Roles::from(&config)
    }

    #[test]
    fn the_highest_list_counts_and_strangers_have_none() {
        let groups = || "staff:x:50:ada,bob\nweb:x:33:\nbroken\n".to_owned();
        let of =
            |roles: &Roles, uid, gid, name: &str| roles.of(&Account { uid, gid, name: name.to_owned() }, 999, groups);
        let none = roles(&[], &[], &[]);
        assert_eq!(of(&none, 1000, 1000, "ada"), Some(Role::Admin), "who may open the socket may do everything");
        let some = roles(&["ada"], &["@staff"], &["@web", "1003"]);
        assert_eq!(of(&some, 1000, 1000, "ada"), Some(Role::Admin));
        assert_eq!(of(&some, 1001, 1001, "bob"), Some(Role::Operator));
        assert_eq!(of(&some, 1002, 33, "www"), Some(Role::Viewer), "by the first group");
        assert_eq!(of(&some, 1003, 1003, ""), Some(Role::Viewer), "by the number");
        assert_eq!(of(&some, 1004, 1004, "eve"), None);
        assert_eq!((of(&some, 0, 0, "root"), of(&some, 999, 9, "yagid")), (Some(Role::Admin), Some(Role::Admin)));
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
    }

    /// Every line of the table of routes, for a reader to check.
    #[test]
    fn the_least_role_of_every_request() {
        let mut lines = Vec::new();
        for (path, methods, route) in super::super::TABLE {
            for method in methods.split(", ") {
                let role = wanted(*route, &method.parse().unwrap());
                lines.push(format!("{:8} {method:6} {path}", format!("{role:?}").to_lowercase()));
            }
        }
        lines.sort();
        insta::assert_snapshot!(lines.join("\n"));
    }
}
