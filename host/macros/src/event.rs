//! `#[derive(DomainEvent)]`.
//!
//! The enum itself stays as it is: two hidden copies of it carry serde's derives ("remote derive"),
//! one to write the payload with its `type` inside, one to read the variant that the log's `type`
//! names. So every attribute of serde on a field means what it means elsewhere.

use std::collections::HashMap;

use proc_macro2::TokenStream;
use quote::quote;
use syn::spanned::Spanned as _;
use syn::{Attribute, Data, DeriveInput, Error, Fields, LitInt, LitStr, Result, Variant};

/// What the attributes of a variant say of it.
struct EventType {
    name: String,
    version: i32,
}

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return Err(Error::new_spanned(
            &input.ident,
            "DomainEvent is for enums, in which each variant is an event type",
        ));
    };
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &input.generics,
            "an event is stored for ever under one type: it can't be generic",
        ));
    }
    if data.variants.is_empty() {
        return Err(Error::new_spanned(&input.ident, "there is no event: add a variant for each"));
    }
    let mut types = Vec::new();
    let mut taken: HashMap<String, &Variant> = HashMap::new();
    for variant in &data.variants {
        let event_type = event_type(variant)?;
        check_fields(variant)?;
        if let Some(first) = taken.insert(event_type.name.clone(), variant) {
            let message = format!(
                "the event type {:?} is taken by the variant `{}`; older versions of a type are \
                 lifted by upcasters and need no variant",
                event_type.name, first.ident
            );
            return Err(Error::new_spanned(variant, message));
        }
        types.push(event_type);
    }
    Ok(expand(input, &data.variants.iter().collect::<Vec<_>>(), &types))
}

fn expand(input: &DeriveInput, variants: &[&Variant], types: &[EventType]) -> TokenStream {
    let name = &input.ident;
    let remote = name.to_string();
    let container = rename_all_fields(&input.attrs);
    let copies: Vec<TokenStream> = variants
        .iter()
        .zip(types)
        .map(|(variant, event_type)| {
            let mut copy = (*variant).clone();
            copy.attrs.retain(is_serde);
            copy.discriminant = None;
            for field in &mut copy.fields {
                field.attrs.retain(is_serde);
            }
            let name = &event_type.name;
            quote! { #[serde(rename = #name)] #copy }
        })
        .collect();
    let idents: Vec<_> = variants.iter().map(|variant| &variant.ident).collect();
    let names: Vec<_> = types.iter().map(|event_type| &event_type.name).collect();
    let versions: Vec<_> = types.iter().map(|event_type| event_type.version).collect();
    let private = quote! { ::eventfabric::session::__private };
    let serde = "::eventfabric::session::__private::serde";
    quote! {
        #[automatically_derived]
        #[allow(dead_code, missing_docs, clippy::all)]
        const _: () = {
            #[derive(#private::serde::Serialize)]
            #[serde(crate = #serde, remote = #remote, tag = "type")]
            #container
            enum Written { #(#copies),* }

            #[derive(#private::serde::Deserialize)]
            #[serde(crate = #serde, remote = #remote)]
            #container
            enum Read { #(#copies),* }

            struct Payload<'a>(&'a #name);

            impl #private::serde::Serialize for Payload<'_> {
                fn serialize<S: #private::serde::Serializer>(
                    &self,
                    serializer: S,
                ) -> ::core::result::Result<S::Ok, S::Error> {
                    Written::serialize(self.0, serializer)
                }
            }

            impl ::eventfabric::session::DomainEvent for #name {
                const TYPES: &'static [::eventfabric::session::EventType] = &[
                    #(::eventfabric::session::EventType { name: #names, version: #versions }),*
                ];

                fn event_type(&self) -> ::eventfabric::session::EventType {
                    match self {
                        #(Self::#idents { .. } => ::eventfabric::session::EventType {
                            name: #names,
                            version: #versions,
                        }),*
                    }
                }

                fn payload(&self) -> #private::Result<::std::boxed::Box<#private::RawValue>> {
                    #private::to_raw_value(&Payload(self))
                }

                fn from_payload(event_type: &str, payload: &#private::RawValue) -> #private::Result<Self> {
                    Read::deserialize(#private::Variant::new(event_type, payload))
                }
            }
        };
    }
}

fn is_serde(attribute: &Attribute) -> bool {
    attribute.path().is_ident("serde")
}

/// The one attribute of the enum that means something to its fields.
fn rename_all_fields(attributes: &[Attribute]) -> TokenStream {
    let mut found = TokenStream::new();
    for attribute in attributes.iter().filter(|attribute| is_serde(attribute)) {
        // Serde's own derive, where there is one, judges the rest.
        let _ = attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("rename_all_fields") {
                let style: LitStr = meta.value()?.parse()?;
                found = quote! { #[serde(rename_all_fields = #style)] };
            } else if meta.input.peek(syn::Token![=]) {
                meta.value()?.parse::<syn::Expr>()?;
            }
            Ok(())
        });
    }
    found
}

/// Reads `#[event(type = "…", version = …)]`.
fn event_type(variant: &Variant) -> Result<EventType> {
    let mut event_type = EventType {
        name: variant.ident.to_string().trim_start_matches("r#").to_owned(),
        version: 1,
    };
    for attribute in &variant.attrs {
        if is_serde(attribute) && names(attribute, &["rename", "alias", "skip", "other"]) {
            let message = "the name of an event is set by #[event(type = \"…\")]";
            return Err(Error::new_spanned(attribute, message));
        }
        if !attribute.path().is_ident("event") {
            continue;
        }
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("type") {
                let name: LitStr = meta.value()?.parse()?;
                if name.value().is_empty() || name.value().contains('\0') {
                    return Err(Error::new_spanned(name, "an event type needs a name"));
                }
                event_type.name = name.value();
            } else if meta.path.is_ident("version") {
                let version: LitInt = meta.value()?.parse()?;
                event_type.version = version.base10_parse()?;
                if event_type.version < 1 {
                    return Err(Error::new_spanned(version, "schema versions begin at 1"));
                }
            } else {
                return Err(meta.error("expected `type = \"…\"` or `version = …`"));
            }
            Ok(())
        })?;
    }
    Ok(event_type)
}

/// Whether an attribute of serde names one of these.
fn names(attribute: &Attribute, words: &[&str]) -> bool {
    let mut found = false;
    let _ = attribute.parse_nested_meta(|meta| {
        found |= words.iter().any(|word| meta.path.is_ident(word));
        if meta.input.peek(syn::Token![=]) {
            meta.value()?.parse::<syn::Expr>()?;
        } else if meta.input.peek(syn::token::Paren) {
            let group;
            syn::parenthesized!(group in meta.input);
            group.parse::<TokenStream>()?;
        }
        Ok(())
    });
    found
}

fn check_fields(variant: &Variant) -> Result<()> {
    match &variant.fields {
        Fields::Unit => Ok(()),
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => Ok(()),
        Fields::Unnamed(fields) => Err(Error::new(
            fields.span(),
            "a payload is a JSON object: give the fields names, or hold one struct",
        )),
        Fields::Named(fields) => {
            for field in &fields.named {
                let name = field.ident.as_ref().expect("the fields have names").to_string();
                let renamed =
                    field.attrs.iter().any(|attr| is_serde(attr) && names(attr, &["rename"]));
                if !renamed && ["type", "version"].contains(&name.trim_start_matches("r#")) {
                    let message = "the payload's `type` and `version` are those of the event itself: \
                                   choose another name, or #[serde(rename = \"…\")]";
                    return Err(Error::new_spanned(field, message));
                }
            }
            Ok(())
        }
    }
}
