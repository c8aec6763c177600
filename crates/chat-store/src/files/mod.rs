//! The records of files, the same in both databases. Nothing is judged here.

pub(crate) mod sql;

use chat_core::{
    AttachedFile, Commit, Facts, FileFacts, FileId, FileName, FileQuotas, FileRefused, FilesUsage, FoundFile,
    MediaType, Questions, ReservedFile, Topic, Username,
};

use crate::batch::NewEntry;
use crate::rooms::read;
use crate::rows::Columns;
use crate::statements::{Statements, Value, json};
use crate::{StoreError, columns, rows};
use Value::{Number, Text};

/// Adds to the facts of a batch which files may be attached. The caller's transaction keeps
/// others from attaching or marking them.
pub(crate) async fn facts<'a, S: Statements>(
    statements: &mut S,
    questions: &Questions<'a>,
    facts: &mut Facts<'a>,
) -> Result<(), S::Error> {
    if questions.files.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = questions.files.iter().map(|id| id.as_str()).collect();
    for row in &statements.rows(S::FILES.free, &[Text(&json(&ids)?)]).await? {
        let position = usize::try_from(row.number(0)?).ok();
        if let Some(id) = position.and_then(|position| questions.files.get(position)) {
            let owner = columns::username(row.text(1)?)?;
            facts.files.insert(id, FileFacts { owner, file: file(row, 2)? });
        }
    }
    Ok(())
}

/// Attaches files to new messages, which are inserted without them: most have none. Marks the
/// files of deleted ones.
pub(crate) async fn write<S: Statements>(
    statements: &mut S,
    commit: &Commit,
    messages: &[NewEntry<'_>],
) -> Result<(), S::Error> {
    let (mut shown, mut attached) = (Vec::new(), Vec::new());
    for new in messages {
        let (topic, seq, files) = (new.topic, columns::column(new.entry.seq), new.entry.body.files());
        if !files.is_empty() {
            shown.push((topic, seq, AttachedFile::list_to_json(files)));
            attached.extend(files.iter().map(|file| (file.id.as_str(), topic, seq)));
        }
    }
    if !shown.is_empty() {
        statements.rows(S::FILES.show, &[Text(&json(&shown)?)]).await?;
        statements.rows(S::FILES.attach, &[Text(&json(&attached)?)]).await?;
    }
    take_back(statements, &commit.files_taken_back).await
}

/// Marks the files of messages that are deleted or removed, if there are any.
pub(crate) async fn take_back<S: Statements>(statements: &mut S, ids: &[FileId]) -> Result<(), S::Error> {
    if !ids.is_empty() {
        statements.rows(S::FILES.take_back, &[Text(&list(ids)?)]).await?;
    }
    Ok(())
}

/// The result of a reservation.
pub(crate) enum Reservation {
    /// This transaction has made the reservation.
    Made,
    /// An earlier call has made the reservation: the transaction is rolled back.
    Known,
    /// The reservation is refused: the transaction is rolled back.
    Refused(FileRefused),
}

impl Reservation {
    /// The answer to the caller.
    pub(crate) fn answer(self) -> Result<(), FileRefused> {
        match self {
            Self::Made | Self::Known => Ok(()),
            Self::Refused(refused) => Err(refused),
        }
    }
}

/// Reserves a file inside the caller's transaction, which is to be rolled back unless it is
/// [made](Reservation::Made).
pub(crate) async fn reserve<S: Statements>(
    statements: &mut S,
    file: &ReservedFile,
    quotas: FileQuotas,
    now_ms: u64,
) -> Result<Reservation, S::Error> {
    let (id, owner, bytes) = (file.id.as_str(), file.owner.as_str(), columns::column(file.bytes));
    let counted = FileQuotas::counted(file.bytes);
    let values = [Number(bytes), Number(columns::column(counted))];
    let all = statements.row(sql::COUNT_IN, &values).await?;
    let all = all.ok_or(StoreError::Damaged { what: "no totals of files" })?.number(0)?;
    if statements.row(sql::IS_KNOWN, &[Text(id)]).await?.is_some() {
        return Ok(Reservation::Known);
    }
    if let Some(quota) = quotas.user_bytes {
        let values = [Text(owner), Number(columns::column(FileQuotas::COUNTED_MIN))];
        let used = statements.row(sql::USED_BY, &values).await?;
        let used = used.ok_or(StoreError::Damaged { what: "no answer" })?.number(0)?;
        if used.saturating_add(counted) > quota {
            return Ok(Reservation::Refused(FileRefused::UserQuota));
        }
    }
    if quotas.all_bytes.is_some_and(|quota| all > quota) {
        return Ok(Reservation::Refused(FileRefused::AllQuota));
    }
    let values = [Text(id), Text(owner), Number(bytes), Number(columns::column(now_ms))];
    statements.rows(sql::RESERVE, &values).await?;
    Ok(Reservation::Made)
}

/// Notes inside the caller's transaction that the bytes of a file are stored. Returns whether
/// it is still reserved, or was stored by an earlier call.
pub(crate) async fn store<S: Statements>(
    statements: &mut S,
    owner: &Username,
    file: &AttachedFile,
    now_ms: u64,
) -> Result<bool, S::Error> {
    let id = file.id.as_str();
    let Some(row) = statements.row(S::FILES.lock, &[Text(id), Text(owner.as_str())]).await? else {
        return Ok(false);
    };
    let reserved = row.integer(0)?;
    match row.integer(1)? {
        RESERVED => {}
        state => return Ok(state == STORED),
    }
    let size = columns::column(file.size);
    let pixels = |pixels: Option<u32>| Number(pixels.map_or(-1, i64::from));
    let (width, height) = file.dimensions.unzip();
    let values = [
        Text(id),
        Text(file.name.as_str()),
        Text(file.media_type.as_str()),
        Number(size),
        pixels(width),
        pixels(height),
        Number(columns::column(now_ms)),
    ];
    statements.rows(sql::STORE, &values).await?;
    if reserved != size {
        let less = counted(reserved)?.saturating_sub(counted(size)?);
        let values = [Number(0), Number(reserved.saturating_sub(size)), Number(less)];
        statements.rows(sql::COUNT_OUT, &values).await?;
    }
    Ok(true)
}

/// Finds a stored file.
pub(crate) async fn find<S: Statements>(
    mut statements: S,
    id: &FileId,
) -> Result<Option<FoundFile>, S::Error> {
    let row = statements.row(sql::FIND, &[Text(id.as_str())]).await?;
    Ok(row.map(|row| found(&row)).transpose()?)
}

/// Finds a stored file that a user may read.
pub(crate) async fn readable<S: Statements + Copy>(
    statements: S,
    id: &FileId,
    reader: &Username,
) -> Result<Option<AttachedFile>, S::Error> {
    let Some(found) = find(statements, id).await? else { return Ok(None) };
    let access = match &found.attached_to {
        Some((Topic::Room(room), _)) => Some(read::access(statements, reader, room).await?),
        Some((Topic::Pair(_), _)) | None => None,
    };
    Ok(found.may_be_read_by(reader, access.as_ref()).then_some(found.file))
}

/// Marks a file that no message has.
pub(crate) async fn drop_one<S: Statements>(statements: &mut S, id: &FileId) -> Result<(), S::Error> {
    statements.rows(sql::DROP, &[Text(id.as_str())]).await.map(drop)
}

/// Whether there are files without a message that are older than a time.
pub(crate) async fn has_old<S: Statements>(mut statements: S, before_ms: u64) -> Result<bool, S::Error> {
    let row = statements.row(sql::ANY_OLD, &[Number(columns::column(before_ms))]).await?;
    Ok(row.is_some())
}

/// Marks them, at most `max`.
pub(crate) async fn mark_old<S: Statements>(
    statements: &mut S,
    before_ms: u64,
    max: usize,
) -> Result<(), S::Error> {
    let values = [Number(columns::column(before_ms)), Number(columns::column(max as u64))];
    statements.rows(S::FILES.mark_old, &values).await.map(drop)
}

/// Lists at most `max` marked files.
pub(crate) async fn to_remove<S: Statements>(mut statements: S, max: usize) -> Result<Vec<FileId>, S::Error> {
    let found = statements.rows(sql::TO_REMOVE, &[Number(columns::column(max as u64))]).await?;
    Ok(found.iter().map(|row| file_id(row.text(0)?)).collect::<Result<_, StoreError>>()?)
}

/// Removes marked files inside the caller's transaction.
pub(crate) async fn forget<S: Statements>(statements: &mut S, ids: &[FileId]) -> Result<(), S::Error> {
    let gone = statements.rows(S::FILES.forget, &[Text(&list(ids)?)]).await?;
    let (mut bytes, mut all_counted) = (0, 0);
    for row in &gone {
        let size = row.integer(0)?;
        bytes += size;
        all_counted += counted(size)?;
    }
    if !gone.is_empty() {
        let count = columns::column(gone.len() as u64);
        let values = [Number(count), Number(bytes), Number(all_counted)];
        statements.rows(sql::COUNT_OUT, &values).await?;
    }
    Ok(())
}

/// What a file of so many bytes counts for in the quotas.
fn counted(size: i64) -> Result<i64, StoreError> {
    Ok(columns::column(FileQuotas::counted(columns::number(size)?)))
}

/// Lists at most `max` stored files after an id, in the order of ids.
pub(crate) async fn after<S: Statements>(
    mut statements: S,
    after: Option<&FileId>,
    max: usize,
) -> Result<Vec<FoundFile>, S::Error> {
    let after = after.map_or("", |after| after.as_str());
    let values = [Text(after), Number(columns::column(max as u64))];
    let rows = statements.rows(sql::AFTER, &values).await?;
    Ok(rows.iter().map(found).collect::<Result<_, StoreError>>()?)
}

/// Reads how much is stored.
pub(crate) async fn usage<S: Statements>(mut statements: S) -> Result<FilesUsage, S::Error> {
    let row = statements.row(sql::TOTALS, &[]).await?;
    let row = row.ok_or(StoreError::Damaged { what: "no totals of files" })?;
    Ok(FilesUsage { files: row.number(0)?, bytes: row.number(1)? })
}

/// The columns `owner`, those of a file, `kind, name, other` of the topic, and the number of
/// the message.
fn found(row: &impl Columns) -> Result<FoundFile, StoreError> {
    let attached_to = match row.integer_or_null(10)? {
        Some(seq) => Some((rows::topic(row, 7)?, columns::number(seq)?)),
        None => None,
    };
    Ok(FoundFile { owner: columns::username(row.text(0)?)?, file: file(row, 1)?, attached_to })
}

/// The columns `id, name, type, size, width, height` of a stored file, from `index` on.
fn file(row: &impl Columns, index: usize) -> Result<AttachedFile, StoreError> {
    let pixels = |index| {
        let pixels = row.integer_or_null(index)?;
        let damaged = |_| StoreError::Damaged { what: "the dimensions of a picture" };
        pixels.map(|pixels| u32::try_from(pixels).map_err(damaged)).transpose()
    };
    Ok(AttachedFile {
        id: file_id(row.text(index)?)?,
        name: FileName::stored(row.text(index + 1)?),
        media_type: MediaType::stored(row.text(index + 2)?),
        size: row.number(index + 3)?,
        dimensions: pixels(index + 4)?.zip(pixels(index + 5)?),
    })
}

fn file_id(text: &str) -> Result<FileId, StoreError> {
    FileId::parse(text).ok_or(StoreError::Damaged { what: "an invalid id of a file" })
}

/// The ids in the column `files` of an entry.
pub(crate) fn ids_in(column: Option<&str>) -> Result<Vec<FileId>, StoreError> {
    let Some(column) = column else { return Ok(Vec::new()) };
    Ok(columns::parse_files(column)?.iter().map(|file| file.id).collect())
}

/// Ids as one parameter, in their order, in which their rows are locked.
fn list(ids: &[FileId]) -> Result<String, StoreError> {
    let mut ids: Vec<&str> = ids.iter().map(FileId::as_str).collect();
    ids.sort_unstable();
    json(&ids)
}

/// The column `state` of a file that is being uploaded.
const RESERVED: i64 = 1;
/// The column `state` of a file whose bytes are stored.
const STORED: i64 = 2;
