//! People: register, sign in, stay signed in, leave.

use sqlx::PgPool;
use taskyard_core::{Error, ErrorCode, Result, limits, task::Namespace};
use taskyard_postgres::failure;
use taskyard_runtime::identity::Concerns;
use uuid::Uuid;

use super::App;
use crate::{
    fault::{self, FaultPoint},
    identity::{Kind, NewSecret, Passwords, Vouched, check_password},
    store::{
        administration::{self, NewEntry},
        namespaces,
        users::{self, NewUser, Refreshed, SignIn, Taken, User},
    },
};

/// How often another name is tried for a user's own namespace.
const NAMES_MAX: u32 = 10;
/// Sign-ins that are listed.
const SIGN_INS_MAX: i64 = 100;
/// Bytes of what a sign-in says that it came from.
const AGENT_BYTES_MAX: usize = 200;

/// Somebody who wants to register.
#[derive(Clone, Debug)]
pub struct Registration {
    pub email: String,
    pub password: String,
    pub name: String,
    /// Empty: made from the address.
    pub namespace: String,
}

/// What a sign-in gives.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub access: String,
    pub refresh: String,
    pub namespace: String,
}

/// Where a token is for.
struct Place {
    namespace: Namespace,
    name: String,
    /// An administrator of the installation looks into it.
    looks: bool,
}

impl App {
    /// Makes a user, where everybody may.
    ///
    /// # Errors
    /// If registration is closed, something is wrong, or the address or name is taken.
    pub async fn register(&self, registration: Registration) -> Result<(User, Tokens)> {
        if !self.settings.registration.is_open() {
            let message = "registration is closed here; ask an administrator for an account";
            return Err(Error::new(ErrorCode::Forbidden, message));
        }
        let user = create_user(&self.pool, &self.passwords, registration, false, false).await?;
        let tokens = self.begin_sign_in(&user, "", "").await?;
        Ok((user, tokens))
    }

    /// Signs in. It takes as long whether there is such a user or not.
    ///
    /// # Errors
    /// If address and password do not belong together, or the namespace is not one of the user's.
    pub async fn sign_in(&self, email: &str, password: String, namespace: &str, agent: &str) -> Result<(User, Tokens)> {
        // What cannot be an address is nobody's, and says so as late.
        let email = read_email("email", email).unwrap_or_default();
        let user = users::user_read_by_email(&self.pool, &email).await.map_err(failure::to_error)?;
        let stored = user.as_ref().and_then(|user| user.password_hash.as_deref());
        let matches = self.passwords.matches(password, stored).await?;
        let Some(user) = user.filter(|user| matches && !user.is_disabled) else {
            return Err(Error::new(ErrorCode::Unauthenticated, "the e-mail address or the password is wrong"));
        };
        let tokens = self.begin_sign_in(&user, namespace, agent).await?;
        Ok((user, tokens))
    }

    /// Signs in whomever a trusted issuer vouches for; makes the user the first time.
    ///
    /// # Errors
    /// If the token is not good, or the namespace is not one of the user's.
    pub async fn sign_in_vouched(&self, id_token: &str, namespace: &str, agent: &str) -> Result<(User, Tokens)> {
        let Vouched { email, name } = self.issuers.verify(id_token).await?;
        let email = read_email("id_token.email", &email)?;
        let mut user = users::user_read_by_email(&self.pool, &email).await.map_err(failure::to_error)?;
        if user.is_none() {
            let name = limits::clean_message(&name, limits::PERSON_NAME_BYTES_MAX);
            let namespace = String::new();
            let person = Person { email: email.clone(), password_hash: None, name, namespace, is_email_proven: true };
            user = match create_person(&self.pool, person, false).await {
                // Another pod was asked the same at this moment.
                Err(error) if error.code == ErrorCode::NameTaken => {
                    users::user_read_by_email(&self.pool, &email).await.map_err(failure::to_error)?
                }
                created => Some(created?),
            };
        }
        let user = user.filter(|user| !user.is_disabled);
        let user = user.ok_or_else(|| Error::new(ErrorCode::Unauthenticated, "this user may not sign in here"))?;
        if let Some(revision) = users::user_prove_email(&self.pool, user.id).await.map_err(failure::to_error)? {
            fault::reach(FaultPoint::CommandCommitted);
            tracing::warn!(user = %user.id, "an address was registered by somebody else before; they are shut out");
            self.changes.tell(revision, Concerns::Everybody).await;
        }
        let tokens = self.begin_sign_in(&user, namespace, agent).await?;
        Ok((user, tokens))
    }

    async fn begin_sign_in(&self, user: &User, namespace: &str, agent: &str) -> Result<Tokens> {
        let place = self.place_of(user, namespace).await?;
        let refresh = NewSecret::make(Kind::Refresh).map_err(|error| Error::internal(error.to_string()))?;
        let sign_in = Uuid::now_v7();
        let agent = limits::clean_message(agent, AGENT_BYTES_MAX);
        users::sign_in_create(&self.pool, sign_in, user.id, &refresh.hash, &agent).await.map_err(failure::to_error)?;
        fault::reach(FaultPoint::CommandCommitted);
        self.tokens(user.id, sign_in, place, refresh).await
    }

    /// Gives the next pair of tokens.
    ///
    /// # Errors
    /// If the token is none, was used before, or the namespace is not one of the user's.
    pub async fn refresh(&self, token: &str, namespace: &str) -> Result<Tokens> {
        let unknown = || Error::new(ErrorCode::Unauthenticated, "the refresh token is not valid; sign in again");
        let hash = Kind::Refresh.hash(token).ok_or_else(unknown)?;
        // What can be refused is refused before the token is used up.
        let place = match users::sign_in_user(&self.pool, &hash).await.map_err(failure::to_error)? {
            Some(user) => {
                let user = self.user(user).await?;
                if user.is_disabled {
                    return Err(unknown());
                }
                Some(self.place_of(&user, namespace).await?)
            }
            None => None,
        };
        let next = NewSecret::make(Kind::Refresh).map_err(|error| Error::internal(error.to_string()))?;
        let refreshed = users::sign_in_refresh(&self.pool, &hash, &next.hash).await.map_err(failure::to_error)?;
        fault::reach(FaultPoint::CommandCommitted);
        match refreshed {
            Refreshed::Unknown => Err(unknown()),
            Refreshed::Reused { sign_in, revision } => {
                tracing::warn!(%sign_in, "a refresh token came a second time: its sign-in has ended");
                self.changes.tell(revision, Concerns::SignIn(sign_in)).await;
                let message = "the refresh token was used before, so the sign-in has ended; sign in again";
                Err(Error::new(ErrorCode::Unauthenticated, message))
            }
            Refreshed::Next { sign_in, user } => self.tokens(user, sign_in, place.ok_or_else(unknown)?, next).await,
        }
    }

    async fn tokens(&self, user: Uuid, sign_in: Uuid, place: Place, refresh: NewSecret) -> Result<Tokens> {
        let access = self.verifier.signer.sign(user, sign_in, place.namespace, place.looks).await?;
        Ok(Tokens { access, refresh: refresh.text, namespace: place.name })
    }

    /// Ends a sign-in of a user, or all of them. Returns how many.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn sign_out(&self, user: Uuid, sign_in: Option<Uuid>) -> Result<u32> {
        let (ended, revision) = users::sign_in_end(&self.pool, user, sign_in).await.map_err(failure::to_error)?;
        fault::reach(FaultPoint::CommandCommitted);
        self.changes.tell(revision, sign_in.map_or(Concerns::User(user), Concerns::SignIn)).await;
        Ok(u32::try_from(ended).unwrap_or(0))
    }

    /// A user's sign-ins, newest first.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn sign_ins(&self, user: Uuid) -> Result<Vec<SignIn>> {
        users::sign_in_list(&self.pool, user, SIGN_INS_MAX).await.map_err(failure::to_error)
    }

    /// Changes a user's password and ends all sign-ins but the one it was done with.
    ///
    /// # Errors
    /// If the old one is wrong, or the new one too weak.
    pub async fn change_password(&self, user: Uuid, sign_in: Uuid, old: String, new: String) -> Result<()> {
        check_password("new_password", &new)?;
        let user = self.user(user).await?;
        if !self.passwords.matches(old, user.password_hash.as_deref()).await? {
            return Err(Error::new(ErrorCode::Forbidden, "the old password is wrong"));
        }
        let hash = self.passwords.hash(new).await?;
        let revision =
            users::user_set_password(&self.pool, user.id, &hash, Some(sign_in)).await.map_err(failure::to_error)?;
        fault::reach(FaultPoint::CommandCommitted);
        self.changes.tell(revision, Concerns::User(user.id)).await;
        Ok(())
    }

    /// Gives a user another name.
    ///
    /// # Errors
    /// If it is empty or too long.
    pub async fn rename_user(&self, user: Uuid, name: &str) -> Result<User> {
        let name = name.trim();
        if name.is_empty() {
            return Err(Error::invalid("name", "is empty"));
        }
        limits::check_text("name", name, limits::PERSON_NAME_BYTES_MAX)?;
        users::user_set_name(&self.pool, user, name).await.map_err(failure::to_error)?;
        fault::reach(FaultPoint::CommandCommitted);
        self.user(user).await
    }

    /// A user.
    ///
    /// # Errors
    /// If there is none.
    pub async fn user(&self, id: Uuid) -> Result<User> {
        let user = users::user_read(&self.pool, id).await.map_err(failure::to_error)?;
        user.ok_or_else(|| Error::new(ErrorCode::UserNotFound, "there is no such user"))
    }

    /// A user's namespace by its name; their own if none is given.
    async fn place_of(&self, user: &User, name: &str) -> Result<Place> {
        if name.is_empty() {
            let own = namespaces::namespace_name(&self.pool, user.namespace).await.map_err(failure::to_error)?;
            return Ok(Place { namespace: user.namespace, name: own.unwrap_or_default(), looks: false });
        }
        let namespace = match self.namespace(user.id, name).await {
            Err(error) if user.is_admin => return self.enter(user, name).await?.ok_or(error),
            found => found?,
        };
        if namespace.deleting_since.is_some() {
            return Err(Error::new(ErrorCode::Forbidden, format!("the namespace `{name}` is being deleted")));
        }
        Ok(Place { namespace: namespace.id, name: namespace.name, looks: false })
    }
}

impl App {
    /// Lets an administrator of the installation look into a namespace; none if there is no such one.
    async fn enter(&self, admin: &User, name: &str) -> Result<Option<Place>> {
        let number = namespaces::namespace_number(&self.pool, name).await.map_err(failure::to_error)?;
        let Some(number) = number else { return Ok(None) };
        let entry =
            NewEntry { user: admin.id, email: &admin.email, action: "namespace.enter", subject: name, detail: "" };
        administration::audit_add(&self.pool, &entry).await.map_err(failure::to_error)?;
        fault::reach(FaultPoint::CommandCommitted);
        Ok(Some(Place { namespace: number, name: name.to_owned(), looks: true }))
    }
}

/// Makes a user.
///
/// # Errors
/// If something is wrong, or the address or name is taken.
pub async fn create_user(
    pool: &PgPool,
    passwords: &Passwords,
    registration: Registration,
    is_admin: bool,
    is_email_proven: bool,
) -> Result<User> {
    let Registration { email, password, name, namespace } = registration;
    let email = read_email("email", &email)?;
    check_password("password", &password)?;
    limits::check_text("name", name.trim(), limits::PERSON_NAME_BYTES_MAX)?;
    if !namespace.is_empty() {
        limits::check_namespace_name("namespace", &namespace)?;
    }
    let password_hash = Some(passwords.hash(password).await?);
    let name = name.trim().to_owned();
    create_person(pool, Person { email, password_hash, name, namespace, is_email_proven }, is_admin).await
}

/// Somebody who becomes a user, checked.
struct Person {
    email: String,
    password_hash: Option<String>,
    /// Empty: the address stands for it.
    name: String,
    /// Empty: made from the address.
    namespace: String,
    is_email_proven: bool,
}

async fn create_person(pool: &PgPool, person: Person, is_admin: bool) -> Result<User> {
    let email = person.email;
    let (local, _) = email.split_once('@').unwrap_or((&email, ""));
    let name = if person.name.is_empty() { local } else { &person.name };
    let chosen = person.namespace.as_str();
    for attempt in 0..NAMES_MAX {
        let namespace = if chosen.is_empty() { namespace_name(local, attempt) } else { chosen.to_owned() };
        let new = NewUser {
            id: Uuid::now_v7(),
            email: &email,
            name,
            password_hash: person.password_hash.as_deref(),
            is_admin,
            is_email_proven: person.is_email_proven,
            namespace_name: &namespace,
        };
        match users::user_create(pool, &new).await.map_err(failure::to_error)? {
            Ok(user) => {
                fault::reach(FaultPoint::CommandCommitted);
                return Ok(user);
            }
            Err(Taken::Email) => {
                return Err(Error::new(ErrorCode::NameTaken, format!("there is a user {email} already")));
            }
            Err(Taken::Namespace) if !chosen.is_empty() => {
                return Err(Error::new(ErrorCode::NameTaken, format!("the namespace `{chosen}` is taken")));
            }
            Err(Taken::Namespace) => {}
        }
    }
    Err(Error::invalid("namespace", "is taken, however it is varied; choose one"))
}

/// Reads an e-mail address; letters count as lower case.
///
/// # Errors
/// If it cannot be one.
pub fn read_email(field: &str, text: &str) -> Result<String> {
    // Such as the sign of Kelvin, which is no K but becomes a k.
    let is_disguised = |letter: char| !letter.is_ascii() && letter.to_lowercase().any(|lower| lower.is_ascii());
    if text.chars().any(is_disguised) {
        return Err(Error::invalid(field, "holds a letter that looks like another one"));
    }
    let email = text.trim().to_lowercase();
    limits::check_text(field, &email, limits::EMAIL_BYTES_MAX)?;
    let parts = email.rsplit_once('@').filter(|(local, domain)| {
        !local.is_empty() && domain.len() >= 3 && !domain.starts_with('.') && !domain.ends_with('.')
    });
    let is_plain = !email.chars().any(|character| character.is_whitespace() || character.is_control());
    if parts.is_none() || !is_plain {
        return Err(Error::invalid(field, "is not an e-mail address such as ada@example.com"));
    }
    Ok(email)
}

/// A name for the namespace of somebody with this address; a later attempt has another end.
fn namespace_name(local: &str, attempt: u32) -> String {
    let mut name = String::new();
    for character in local.chars() {
        match character {
            'a'..='z' | '0'..='9' => name.push(character),
            _ if !name.is_empty() && !name.ends_with('-') => name.push('-'),
            _ => {}
        }
    }
    let room = limits::NAMESPACE_NAME_BYTES_MAX - "user--ffffff".len();
    name.truncate(room);
    let name = name.trim_end_matches('-');
    let base = match name {
        "" => "user".to_owned(),
        name if name.len() < limits::NAMESPACE_NAME_BYTES_MIN
            || !name.starts_with(|c: char| c.is_ascii_lowercase()) =>
        {
            format!("user-{name}")
        }
        name => name.to_owned(),
    };
    match attempt {
        0 => base,
        _ => format!("{base}-{:06x}", rand::random_range(0..1_u32 << 24)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(read_email("email", " Ada@Example.COM ").unwrap(), "ada@example.com");
        assert!(read_email("email", "иван@пример.рф").is_ok());
        for wrong in [
            "",
            "ada",
            "fran\u{212a}@example.com",
            "@example.com",
            "ada@",
            "ada@.com",
            "ada@x",
            "a b@example.com",
            "a\0@example.com",
        ] {
            assert!(read_email("email", wrong).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn any_address_gives_a_good_name(local in ".{0,80}", attempt in 0..3_u32) {
            let name = namespace_name(&local.to_lowercase(), attempt);
            prop_assert!(limits::check_namespace_name("namespace", &name).is_ok(), "{name}");
        }
    }

    #[test]
    fn names_are_recognizable() {
        assert_eq!(namespace_name("ada.lovelace", 0), "ada-lovelace");
        assert_eq!(namespace_name("x", 0), "user-x");
        assert_eq!(namespace_name("42", 0), "user-42");
        assert!(namespace_name("ada", 1).starts_with("ada-"));
    }
}
