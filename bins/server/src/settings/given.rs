//! The settings of one start, each with where its value came from.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, FromArgMatches};

use super::file::{self, Contents, ROOMS, Room};
use super::nearest::nearest;
use super::value::{SettingError, Source, Value};
use super::{ALL, CONFIG, Kind, PREFIX, Setting};

/// The settings that were given: flags override the environment, and the
/// environment overrides the configuration file.
#[derive(Default)]
pub(crate) struct Given {
    values: Vec<Value>,
    rooms: Option<Vec<Room>>,
    /// The configuration file, for errors about its rooms.
    file: PathBuf,
}

impl Given {
    /// Adds the configuration file to the flags, and checks that every `CHAT_…`
    /// variable of the environment is a setting.
    pub(crate) fn collect(
        flags: Flags,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self, SettingError> {
        refuse_unknown_variables(environment)?;
        let mut given = Self { values: flags.0, ..Self::default() };
        if let Some(path) = given.path(&CONFIG) {
            given.add_file(&path, file::read(&path)?);
        }
        Ok(given)
    }

    /// The settings in the text of a configuration file.
    #[cfg(test)]
    pub(crate) fn of_file(text: &str) -> Result<Self, SettingError> {
        let mut given = Self::default();
        let path = Path::new("chat.toml");
        given.add_file(path, file::parse(path, text)?);
        Ok(given)
    }

    fn add_file(&mut self, path: &Path, file: Contents) {
        let missing = file.values.into_iter().filter(|value| self.value(value.setting).is_none());
        let missing: Vec<Value> = missing.collect();
        self.values.extend(missing);
        self.rooms = file.rooms;
        self.file = path.to_owned();
    }

    fn value(&self, setting: &Setting) -> Option<&Value> {
        self.values.iter().find(|value| value.setting.key == setting.key)
    }

    /// Where a value came from, in words: the flag, the environment variable, or
    /// the key with its file and line. For a default, its flag.
    pub(crate) fn origin(&self, setting: &Setting) -> String {
        self.value(setting).map_or(&Source::Flag, |value| &value.source).origin(setting)
    }

    /// The error for a wrong value, with its origin.
    pub(crate) fn invalid(&self, setting: &Setting, message: impl ToString) -> SettingError {
        SettingError::invalid(self.origin(setting), message)
    }

    /// The error for two values that do not fit together. It names the origin of
    /// the first one that is not a default.
    pub(crate) fn conflict(&self, settings: [&Setting; 2], message: impl ToString) -> SettingError {
        let [one, other] = settings;
        let named = if self.value(one).is_some() { one } else { other };
        self.invalid(named, message)
    }

    /// The error for one of the rooms.
    pub(crate) fn invalid_room(&self, room: &Room, message: impl ToString) -> SettingError {
        let origin = format!("{ROOMS} in {}, line {}", self.file.display(), room.line);
        SettingError::invalid(origin, message)
    }

    /// The rooms of the configuration file.
    pub(crate) fn rooms(&self) -> Option<&[Room]> {
        self.rooms.as_deref()
    }

    pub(crate) fn path(&self, setting: &Setting) -> Option<PathBuf> {
        self.value(setting).map(|value| PathBuf::from(&value.text))
    }

    pub(crate) fn text(&self, setting: &Setting) -> Result<Option<&str>, SettingError> {
        let Some(value) = self.value(setting) else { return Ok(None) };
        match value.text.to_str() {
            Some(text) => Ok(Some(text)),
            None => Err(self.invalid(setting, "must be UTF-8")),
        }
    }

    /// A number in the range of its setting, which must fit in `T`.
    pub(crate) fn number<T: TryFrom<u64>>(&self, setting: &Setting) -> Result<Option<T>, SettingError> {
        let Kind::Number(least, most) = setting.kind else { return Ok(None) };
        let Some(text) = self.text(setting)? else { return Ok(None) };
        let number = text.parse::<u64>().ok().filter(|number| (least..=most).contains(number));
        match number.and_then(|number| T::try_from(number).ok()) {
            Some(number) => Ok(Some(number)),
            None => Err(self.invalid(setting, format!("must be a whole number from {least} to {most}"))),
        }
    }

    pub(crate) fn bool(&self, setting: &Setting) -> Result<Option<bool>, SettingError> {
        match self.text(setting)? {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(self.invalid(setting, "must be true or false")),
        }
    }

    /// One of the values of its setting.
    pub(crate) fn one_of(&self, setting: &Setting) -> Result<Option<&'static str>, SettingError> {
        let Kind::OneOf(values) = setting.kind else { return Ok(None) };
        let Some(text) = self.text(setting)? else { return Ok(None) };
        match values.iter().find(|value| **value == text) {
            Some(value) => Ok(Some(value)),
            None => Err(self.invalid(setting, format!("must be {}", setting.range()))),
        }
    }
}

/// The settings of the command line and the environment, for clap.
pub(crate) struct Flags(Vec<Value>);

impl clap::Args for Flags {
    fn augment_args(command: Command) -> Command {
        command.args(ALL.iter().map(|setting| setting.arg()).collect::<Vec<Arg>>())
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = ALL.iter().filter_map(|setting| {
            let text = matches.get_one::<OsString>(setting.key)?.clone();
            let source = match matches.value_source(setting.key) {
                Some(ValueSource::EnvVariable) => Source::Variable,
                _ => Source::Flag,
            };
            Some(Value { setting, text, source })
        });
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn refuse_unknown_variables(
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<(), SettingError> {
    let variables: Vec<(String, OsString)> = environment
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    let links: Vec<&str> = variables.iter().filter_map(|(name, value)| linked_service(name, value)).collect();
    let known: Vec<String> = ALL.iter().map(|setting| setting.variable()).collect();
    for (name, _) in &variables {
        if known.contains(name) || is_service_link(name, &links) {
            continue;
        }
        let rest = name.strip_prefix(PREFIX).unwrap_or(name);
        let names = known.iter().filter_map(|known| known.strip_prefix(PREFIX));
        let meant = match known.iter().find(|known| *known == rest) {
            Some(without_prefix) => Some(without_prefix.clone()),
            None => nearest(rest, names).map(|near| format!("{PREFIX}{near}")),
        };
        let message = match meant {
            Some(meant) => format!("there is no such setting; did you mean {meant}?"),
            None => "there is no such setting".to_owned(),
        };
        return Err(SettingError::invalid(name.clone(), message));
    }
    Ok(())
}

/// The service of a variable such as `CHAT_DB_PORT=tcp://…`: `CHAT_DB`.
fn linked_service<'a>(name: &'a str, value: &OsStr) -> Option<&'a str> {
    name.strip_suffix("_PORT").filter(|_| value.to_string_lossy().contains("://"))
}

/// Whether Kubernetes or Docker set a variable, for a service whose name begins
/// with "chat": `CHAT_SERVICE_HOST`, `CHAT_PORT=tcp://…`, `CHAT_PORT_80_TCP_ADDR`,
/// and of Docker also `CHAT_NAME` and all variables of the other container, as
/// `CHAT_ENV_…`. `links` are the services that have a port.
/// <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>
/// <https://docs.docker.com/engine/network/links/#environment-variables>
fn is_service_link(name: &str, links: &[&str]) -> bool {
    let of_a_link = |link: &&str| match name.strip_prefix(*link) {
        Some("_PORT" | "_NAME") => true,
        Some(rest) => rest.starts_with("_ENV_"),
        None => false,
    };
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.contains("_PORT_")
        || links.iter().any(of_a_link)
}

#[cfg(test)]
mod tests {
    use super::super::{DATABASE_URL, JWT_SECRET, LISTEN, MIGRATE, REGISTRATION, SHARDS};
    use super::*;

    fn flags(setting: &'static Setting, text: &str, source: Source) -> Flags {
        Flags(vec![Value { setting, text: text.into(), source }])
    }

    fn collect(flags: Flags, environment: &[(&str, &str)]) -> Result<Given, SettingError> {
        Given::collect(flags, environment.iter().map(|(name, value)| (name.into(), value.into())))
    }

    #[test]
    fn an_error_names_where_the_value_came_from() {
        for (source, origin) in [
            (Source::Flag, "--shards"),
            (Source::Variable, "CHAT_SHARDS"),
            (Source::File { path: "a/chat.toml".into(), line: 7 }, "shards in a/chat.toml, line 7"),
        ] {
            let given = collect(flags(&SHARDS, "many", source), &[]).unwrap();
            let error = given.number::<usize>(&SHARDS).unwrap_err().to_string();
            assert_eq!(error, format!("{origin}: must be a whole number from 1 to 64"));
        }
        assert_eq!(Source::Variable.origin(&DATABASE_URL), "DATABASE_URL");
    }

    #[test]
    fn flags_win_over_the_file() {
        let mut given = Given { values: flags(&LISTEN, "[::1]:1", Source::Flag).0, ..Given::default() };
        let path = Path::new("chat.toml");
        given.add_file(path, file::parse(path, "listen = \"[::1]:2\"\nshards = 3").unwrap());
        assert_eq!(given.text(&LISTEN).unwrap(), Some("[::1]:1"));
        assert_eq!(given.number::<usize>(&SHARDS).unwrap(), Some(3));
        assert_eq!(given.text(&JWT_SECRET).unwrap(), None);
    }

    #[test]
    fn an_unknown_variable_is_named() {
        let none = || Flags(Vec::new());
        for (name, message) in [
            ("CHAT_NOSUCH", "CHAT_NOSUCH: there is no such setting"),
            ("CHAT_SHARD", "CHAT_SHARD: there is no such setting; did you mean CHAT_SHARDS?"),
            ("CHAT_PORT", "CHAT_PORT: there is no such setting"),
            ("CHAT_DB_NAME", "CHAT_DB_NAME: there is no such setting; did you mean CHAT_OIDC_NAME?"),
            ("CHAT_DATABASE_URL", "CHAT_DATABASE_URL: there is no such setting; did you mean DATABASE_URL?"),
        ] {
            let error = collect(none(), &[("CHAT_LISTEN", ":1"), (name, "1")]).err().unwrap();
            assert_eq!(error.to_string(), message);
        }
        // What Kubernetes sets for services that are called chat and chat-db.
        let links = [
            ("CHAT_SERVICE_HOST", "10.0.0.11"),
            ("CHAT_SERVICE_PORT", "8080"),
            ("CHAT_SERVICE_PORT_HTTP", "8080"),
            ("CHAT_PORT", "tcp://10.0.0.11:8080"),
            ("CHAT_PORT_8080_TCP", "tcp://10.0.0.11:8080"),
            ("CHAT_PORT_8080_TCP_PROTO", "tcp"),
            ("CHAT_DB_SERVICE_HOST", "10.0.0.12"),
            ("CHAT_DB_PORT", "tcp://10.0.0.12:5432"),
            // Docker's links have these, too.
            ("CHAT_NAME", "/web/chat"),
            ("CHAT_DB_NAME", "/web/chat-db"),
            ("CHAT_DB_ENV_POSTGRES_PASSWORD", "secret"),
            ("CHATTY", "1"),
            ("PATH", "/bin"),
        ];
        assert!(collect(none(), &links).is_ok());
    }

    #[test]
    fn a_wrong_file_is_one_sentence_with_its_line() {
        for (text, message) in [
            ("\nshardz = 1", "line 2: there is no setting shardz; did you mean shards?"),
            ("config = \"x\"", "line 1: there is no setting config"),
            ("shards = = 1", "line 1: "),
            ("rooms = 1", "line 1: rooms are written [[rooms]], each with name and title"),
            ("[[rooms]]\nname = \"a\"", "line 1: rooms are written [[rooms]]"),
            (
                "[[rooms]]\nname = \"a\"\ntitel = \"b\"",
                "line 3: there is no setting titel; did you mean title?",
            ),
        ] {
            let error = Given::of_file(text).err().expect(text).to_string();
            let expected = format!("the configuration file chat.toml, {message}");
            assert!(error.starts_with(&expected) && !error.contains('\n'), "{text}: {error}");
        }
        for (text, message) in [
            ("listen = 1", "listen in chat.toml, line 1: must be a text in quotes"),
            ("\n\nshards = \"1\"", "shards in chat.toml, line 3: must be a whole number without quotes"),
            ("migrate = \"yes\"", "migrate in chat.toml, line 1: must be true or false without quotes"),
        ] {
            assert_eq!(Given::of_file(text).err().expect(text).to_string(), message);
        }
        let given = Given::of_file("shards = 0x1_0\nmigrate = true\nregistration = \"perhaps\"").unwrap();
        assert_eq!(given.number::<u8>(&SHARDS).unwrap(), Some(16));
        assert_eq!(given.bool(&MIGRATE).unwrap(), Some(true));
        let error = given.one_of(&REGISTRATION).unwrap_err().to_string();
        assert_eq!(error, "registration in chat.toml, line 3: must be open or invite or closed");
    }
}
